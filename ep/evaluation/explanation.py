"""Which tokens fired the neurons that decided: the answer of the read-out, shared out over the tokens of a text.

With r the mean firing probabilities in the window of the free phase, the logits are z = b + W f(r), f the mean or the
maximum over the positions. What the text says for class k, its evidence

    m = (z_k - b_k) - mean over the classes j of (z_j - b_j),

is a sum over the neurons of the top layer, R_j = r_j times the derivative of m in r_j. The part of each neuron goes
down to those that fired it, in proportion to their excitatory drive (the z+ rule; Montavon et al., Pattern Recognition
65, 2017):

    R_i = sum over j of  r_i max(w_ij, 0) / (sum over i of r_i max(w_ij, 0))  R_j.

At the layer of the tokens, the sum over the neurons of a position is the contribution of its token. Neurons that nobody
below excites fire by their bias: their part belongs to no token. All parts add up to m, up to the rounding of the mean
over the positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.token_set import TokenSet
from spikesim.ep.evaluation.evaluate import free_phases
from spikesim.ep.evaluation.prediction import Rows
from spikesim.ep.inputs.pipeline import SamplePipeline
from spikesim.ep.network.graph import INPUT
from spikesim.ep.network.linear_head import HeadMap
from spikesim.ep.network.linear_map import Link
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.readout import Predictions
from spikesim.numerics.portable_math import softmax_and_log_sum

__all__ = ["Explanation", "contributions"]

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each token of a text contributed to the answer.

    Attributes
    ----------
    label : int
        The class with the largest logit.
    probability : float
        Of this class, as `Prediction.probabilities` has it.
    tokens : tuple of str
        Those that count, as the vocabulary spells them.
    known : bool (tokens,)
        Whether the vocabulary has them.
    contributions : float64 (tokens,)
        To the evidence for the class: logits, above zero where a token speaks for it.
    unassigned : float
        What neurons contributed that no token excited.
    """

    label: int
    probability: float
    tokens: tuple[str, ...]
    known: NDArray[np.bool_]
    contributions: Reals
    unassigned: float

    @property
    def evidence(self) -> float:
        """What the text says for the class, without the biases of the read-out, less the mean over all classes."""
        return float(self.contributions.sum()) + self.unassigned

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rows = zip(self.tokens, self.known, self.contributions, strict=True)
        return {
            "label": self.label,
            "probability": self.probability,
            "evidence": self.evidence,
            "unassigned": self.unassigned,
            "tokens": [{"token": word, "known": bool(own), "contribution": float(part)} for word, own, part in rows],
        }


class Contributions(NamedTuple):
    """Of a text."""

    label: int
    probability: float
    tokens: Reals  # (tokens,)
    unassigned: float


def contributions(thread_pool: ThreadPool, pipeline: SamplePipeline, rows: Rows) -> Iterator[Contributions]:
    """What the tokens of texts contribute, from free phases like those of a prediction.

    Raises
    ------
    Stopped
    """
    model = thread_pool.model
    assert isinstance(rows.samples, TokenSet)
    lengths = rows.samples.lengths()

    def look(
        workspace: ph.Workspace, found: Predictions, counts: PhaseCounts
    ) -> tuple[NDArray[np.int64], Reals, Reals, Reals]:
        logits = found.answers.logits
        labels, n = logits.argmax(axis=1), len(logits)
        sure = softmax_and_log_sum(logits)[0][np.arange(n), labels]
        return labels, sure, *_shared_out(model, workspace.mean_rates(n), workspace.state.extent[:n], labels)

    first = 0
    for labels, sure, tokens, unassigned in free_phases(
        thread_pool, pipeline, rows.samples, len(rows.ids), rows.stream, look, ids=rows.ids
    ):
        for row, label in enumerate(labels):
            own = tokens[row, : lengths[first + row]]
            yield Contributions(int(label), float(sure[row]), own, float(unassigned[row]))
        first += len(labels)


def _shared_out(
    model: Model, rates: list[Reals], extents: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[Reals, Reals]:
    """Contributions of the positions of the token layer, (n, W), and what belongs to none of them, (n,).

    Parameters
    ----------
    rates : list of float64 (n, H, W, C), by layer
    extents : int64 (n, layers)
        Columns of their maps that exist.
    labels : int64 (n,)
    """
    head, n = HeadMap.of(model, model.readout), len(labels)
    there = np.arange(rates[head.layer].shape[2]) < extents[:, head.layer, np.newaxis]
    asked = np.eye(model.classes)[labels] - 1.0 / model.classes
    pushed = head.push(asked, rates[head.layer], there[:, np.newaxis, :, np.newaxis].astype(np.float64))
    parts = [np.zeros(own.shape) for own in rates]
    parts[head.layer] = rates[head.layer] * pushed
    tokens, unassigned = np.zeros((n, model.graph.image.shape[1])), np.zeros(n)
    for layer in reversed(range(model.layers)):
        links = [
            (edge.source, replace(own, weights=np.maximum(own.weights, 0.0)))
            for edge in model.graph.incoming(layer)
            if edge.source != INPUT
            for own in [Link.of(edge.connection)]
        ]
        if not links:  # driven by the tokens themselves
            tokens += parts[layer].sum(axis=(1, 3))
            continue
        excited = sum(link.up(rates[source]) for source, link in links)
        shares = np.divide(parts[layer], excited, out=np.zeros_like(parts[layer]), where=excited > 0)
        unassigned += np.where(excited > 0, 0.0, parts[layer]).sum(axis=(1, 2, 3))
        for source, link in links:
            parts[source] += rates[source] * link.down(shares)
    return tokens, unassigned
