"""What somebody may have meant by a key that there is not: a slip of the pen, or another program's name for it."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from spikesim.io.validation import nearest

__all__ = ["known_as", "meant_key", "meant_section"]

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "lr": "optimizer.learning_rate",
        "learning_rate": "optimizer.learning_rate",
        "eta": "optimizer.learning_rate",
        "lr_readout": "optimizer.readout_learning_rate",
        "lr_schedule": "optimizer.schedule",
        "lr_scheduler": "optimizer.schedule",
        "scheduler": "optimizer.schedule",
        "optim": "optimizer.name",
        "optimiser": "optimizer.name",
        "optimizer": "optimizer.name",
        "wd": "optimizer.weight_decay",
        "betas": "optimizer.beta1",
        "eps": "optimizer.epsilon",
        "n_epochs": "optimizer.epochs",
        "num_epochs": "optimizer.epochs",
        "early_stopping": "optimizer.patience",
        "freeze_layers": "optimizer.freeze",
        "frozen": "optimizer.freeze",
        "init_from": "model.weights",
        "pretrained": "model.weights",
        "checkpoint": "model.weights",
        "architecture": "model.arch",
        "network": "model.arch",
        "dropout_rate": "model.dropout",
        "drop_rate": "model.dropout",
        "norm": "model.normalization",
        "batch_norm": "model.normalization",
        "batchnorm": "model.normalization",
        "hidden": "model.layers",
        "data": "data.dataset",
        "bs": "data.batch_size",
        "batch": "data.batch_size",
        "mbs": "data.batch_size",
        "val_split": "data.validation",
        "augmentation": "data.augment",
        "t1": "dynamics.steps_free",
        "t_free": "dynamics.steps_free",
        "free_steps": "dynamics.steps_free",
        "n_free": "dynamics.steps_free",
        "timesteps": "dynamics.steps_free",
        "time_steps": "dynamics.steps_free",
        "t": "dynamics.steps_free",
        "t2": "dynamics.steps_nudged",
        "k": "dynamics.steps_nudged",
        "t_nudge": "dynamics.steps_nudged",
        "t_nudged": "dynamics.steps_nudged",
        "t_clamped": "dynamics.steps_nudged",
        "nudge_steps": "dynamics.steps_nudged",
        "n_nudged": "dynamics.steps_nudged",
        "nudge": "dynamics.beta",
        "nudge_strength": "dynamics.beta",
        "alg": "dynamics.nudging",
        "thirdphase": "dynamics.nudging",
        "random_sign": "dynamics.nudging",
        "loss": "dynamics.cost",
        "criterion": "dynamics.cost",
        "pool": "dynamics.pooling",
        "tol": "dynamics.tolerance",
        "signals": "error_signals.kind",
        "local_heads": "error_signals.kind",
        "teacher_temperature": "error_signals.temperature",
        "sparsity": "stability.target_rate",
        "random_state": "seed",
        "random_seed": "seed",
    }
)
"""Names that papers and other programs have for keys; in lower case with underscores."""

_SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "signals": "error_signals",
        "heads": "error_signals",
        "ep": "dynamics",
        "network": "model",
        "net": "model",
        "arch": "model",
        "train": "optimizer",
        "training": "optimizer",
        "optim": "optimizer",
        "recording": "record",
    }
)


def meant_key(name: str, keys: Collection[str], section: str = "") -> str | None:
    """The key that somebody may have meant by a name.

    Parameters
    ----------
    name : str
        A key that there is not, without its section.
    keys : collection of str
        All keys, with their sections.
    section : str
        The section that it was looked for in, whose keys are likelier than others'.

    Returns
    -------
    str or None
        One of `keys`.
    """
    own = [key for key in keys if section and key.startswith(f"{section}.")]
    known = known_as(name, own) or known_as(name, keys)
    if known is not None:
        return known
    for some in (own, keys):
        bare = _bare(some)
        near = nearest(name, bare)
        if near is not None:
            return bare[near]
    return None


def known_as(name: str, keys: Collection[str]) -> str | None:
    """The one of these keys that has this name without its section, or is called so elsewhere."""
    plain = name.strip().lower().replace("-", "_")
    found = _NAMES.get(plain)
    return found if found in keys else _bare(keys).get(plain)


def _bare(keys: Collection[str]) -> dict[str, str]:
    """Keys by their names without the section; of several the first."""
    return {key.rpartition(".")[2]: key for key in reversed(list(keys))}


def meant_section(name: str, value: Any, sections: Collection[str], keys: Collection[str]) -> str | None:
    """What somebody may have meant by a name that is neither a section nor a key: one of these.

    Parameters
    ----------
    name : str
    value : object
        What was given under that name: the keys of a section, or the value of a key.
    sections, keys : collection of str
    """
    if not isinstance(value, Mapping):
        return meant_key(name, keys)
    plain = name.strip().lower()
    section = _SECTIONS.get(plain) or nearest(plain, sections)
    if not value:
        return section
    inner = str(next(iter(value)))
    if section is not None and f"{section}.{inner}" in keys:
        return f"{section}.{inner}"
    return meant_key(inner, keys, section or "") or section
