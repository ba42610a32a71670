"""The keys of the intermediate error signals."""

from dataclasses import dataclass

from spikesim.ep.config.sections.options import option

__all__ = ["ErrorSignalSettings", "answers_with"]


def answers_with(answer: str, cost: str, layer: int, layers: int) -> bool:
    """Whether the head of a layer, counted from 0, answers together with the read-out.

    Parameters
    ----------
    answer, cost : str
        `error_signals.answer` and `dynamics.cost`: with a squared error the read-out has no probabilities, and answers
        alone.
    """
    return answer == "ensemble" and cost == "cross-entropy" and 2 * (layer + 1) > layers


@dataclass(frozen=True)
class ErrorSignalSettings:
    """Intermediate error signals: heads that nudge layers below the top, and a teacher."""

    kind: str = option(
        "local",
        "Error signals in addition to the labels at the read-out: none; local heads; a teacher (knowledge "
        "distillation) for the read-out and the heads; or both labels and teacher for both.",
        choices=("none", "local", "kd", "both"),
    )
    layers: tuple[int, ...] = option((), "Layers with a head, from 1; by default all but the top one.", low=1)
    strength: float | tuple[float, ...] = option(
        0.3,
        "Strength of a head's nudge relative to the read-out's, lambda (a list has a value for every layer).",
        low=0,
        high=1000,
        per_layer=True,
    )
    profile: str = option(
        "constant",
        "The strength as it is; times `ratio` for every layer below the top; or steered so that the response, the mean "
        "absolute difference of r+ and r-, is the same in all layers with a head.",
        choices=("constant", "geometric", "balanced"),
    )
    ratio: float = option(1.5, "Ratio of the strengths of neighbouring layers, geometric.", above=0, high=100)
    schedule: str = option(
        "constant", "Strength over the training: constant, or annealed to zero.", choices=("constant", "annealed")
    )
    anneal_from: float = option(
        0.67, "Share of the training after which annealed strengths fall linearly to zero at its end.", low=0, high=1
    )
    grid: int = option(
        4,
        "A head sees its layer summed over blocks, the smallest squares that divide both sides of the map and leave at "
        "most this many per side; where none does, the largest that divide both.",
        low=1,
        high=64,
    )
    learning: str = option(
        "delta-rule",
        "Heads learn by their own delta rule, or stay fixed: square waves, one frequency per class.",
        choices=("delta-rule", "fixed"),
    )
    learning_rate: float | None = option(
        None, "Learning rate of the heads; by default that of the read-out.", low=0, high=1000, optional=True
    )
    answer: str = option(
        "ensemble",
        "What the prediction combines: the read-out and the heads of the upper half of the layers, by the mean of "
        "their log-probabilities (with a squared error, the read-out alone); or the read-out.",
        choices=("ensemble", "readout"),
        before="readout",
    )
    temperature: float = option(4.0, "Temperature that softens the teacher's logits.", above=0, high=1000)
    teacher_weight: float = option(
        0.7, "Weight of the teacher relative to the labels, for a head that is trained on both.", low=0, high=1
    )
    teacher: str = option("", "SHA-256 of the teacher's logits; set by --teacher.")
