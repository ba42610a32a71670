"""Which error signals reach which layers: the gradient check over kinds of signals and depths."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.gradcheck.check import Variant, check_gradients, plain
from spikesim.ep.parallel.execution import Execution

Reals = NDArray[np.float64]

ARCHITECTURES = ("vgg5", "vgg8", "vgg9", "vgg11", "vgg16")
KINDS = ("none", "local", "kd", "both")


@dataclass(frozen=True)
class AblationRow:
    """One network and one kind of signals; float64 (L,), lowest layer first, means over the mini-batches.

    Attributes
    ----------
    cosine, ratio : of the stochastic estimate with the exact gradient of the weights
    norm : of the exact gradient
    gain : float
        gamma, the feedback gain, by whose powers the norms are too large; 1 with clamped drives, which know no energy.
    """

    arch: str
    kind: str
    layers: tuple[str, ...]
    cosine: Reals
    ratio: Reals
    norm: Reals
    gain: float

    @property
    def share(self) -> Reals:
        """Norms beside the top layer's, each without the weight of its layer in the energy function, gamma^(l - L).

        That is the size of what nudges and feedback bring about in the layer (docs/gradient-check.md).
        """
        weights = self.gain ** np.arange(1.0 - len(self.norm), 1.0)
        return np.asarray(self.norm / weights / self.norm[-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arch": self.arch,
            "error_signals": self.kind,
            "layers": list(self.layers),
            "cosine": plain(self.cosine),
            "norm_ratio": plain(self.ratio),
            "exact_norm": plain(self.norm),
            "share": plain(self.share),
        }


def ablate(
    config: Config,
    dataset: Dataset,
    architectures: tuple[str, ...],
    kinds: tuple[str, ...],
    *,
    repeats: int = 1,
    soft_targets: Reals | None = None,
    execution: Execution | None = None,
) -> list[AblationRow]:
    """Check the gradients of every architecture with every kind of signals, from the same initial weights.

    Parameters
    ----------
    config : Config
        Everything else.
    repeats : int
        Mini-batches over which is averaged.
    soft_targets : float64 (training samples, classes), optional
        The teacher's softened answers, for kd and both.
    execution : Execution, optional
        Threads and processes that share the work; by default one thread.

    Raises
    ------
    InputError
        As `check_gradients`.
    """
    execution = Execution() if execution is None else execution
    rows = []
    for arch in architectures:
        for kind in kinds:
            changed = make_config(merge(config.to_dict(), [("model.arch", arch), ("error_signals.kind", kind)]))

            def tell(text: str, arch: str = arch, kind: str = kind) -> None:
                execution.progress(f"{arch}, {kind}: {text}")

            found = check_gradients(
                changed,
                dataset,
                [Variant.of(changed)],
                repeats=repeats,
                soft_targets=soft_targets if kind in ("kd", "both") else None,
                execution=dataclasses.replace(execution, progress=tell),
            )
            similarity = found.variants[0].weights["exact"]
            rows.append(
                AblationRow(
                    arch,
                    kind,
                    found.layers,
                    similarity.cosine.mean(axis=0),
                    similarity.ratio.mean(axis=0),
                    found.norms,
                    1.0 if changed.dynamics.clamped else changed.dynamics.feedback_gain,
                )
            )
    return rows
