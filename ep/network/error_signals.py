"""Intermediate error signals: which heads a network has, what each is trained on, and how strong each one's nudge is.

The total cost is ``C_readout + sum_l lambda_l C_l`` (our reconstruction of arXiv 2508.15989, from its abstract): each
head adds a nudge to its own layer in the nudged phases, nothing else changes, and every update stays local.
"""

from spikesim.engine.synapses import Shape
from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.config.sections import ErrorSignalSettings
from spikesim.ep.network.graph import LayerGraph
from spikesim.ep.network.heads import READOUT, Head, check_head
from spikesim.errors import InputError


def block_side(shape: Shape, grid: int) -> int:
    """Side of the square blocks that cut a map into at most `grid` positions a side.

    The smallest that divides both sides of the map without a rest, else the largest that does.
    """
    height, width, _ = shape
    sides = [side for side in range(1, min(height, width) + 1) if height % side == 0 and width % side == 0]
    return next((side for side in sides if max(height, width) // side <= grid), sides[-1])


def global_pooling(config: Config, kind: str) -> str:
    """What heads read of all positions of a map together, "none", "mean" or "maximum"; kind: of the samples."""
    chosen = config.model.global_pooling
    if chosen == "auto":
        return "mean" if kind in ("series", "text") else "none"
    return chosen


def place_heads(config: Config, graph: LayerGraph, kind: str = "images") -> tuple[Head, ...]:
    """The heads of a network: those of the layers that have one, lowest first, then the read-out.

    Parameters
    ----------
    kind : {"images", "recordings", "series", "text"}
        Of the samples.

    Raises
    ------
    InputError
        `error_signals.layers` names a layer that is not below the top one, or one twice.
    """
    signals, top = config.error_signals, len(graph.populations) - 1
    pooling = global_pooling(config, kind)
    heads = []
    if signals.kind != "none":
        chosen = signals.layers or tuple(range(1, top + 1))
        for number in chosen:
            if number > top or chosen.count(number) > 1:
                raise InputError(
                    f"error_signals.layers is {list(chosen)}; it must name layers below the top one, 1 to {top}, each "
                    "once"
                )
        for layer in sorted(number - 1 for number in chosen):
            population = graph.populations[layer]
            side = block_side(population.shape, signals.grid)
            heads.append(Head(f"head{layer + 1}", layer, population, side, pooling))
    heads.append(Head(READOUT, top, graph.populations[top], 2 if graph.readout_pooled else 1, pooling))
    for head in heads:
        check_head(head)
    return tuple(heads)


def teacher_weights(signals: ErrorSignalSettings, heads: tuple[Head, ...]) -> tuple[float, ...]:
    """Weight of the teacher in the cost of each head; the labels have the rest."""
    readout = signals.teacher_weight if signals.kind in ("kd", "both") else 0.0
    intermediate = {"none": 0.0, "local": 0.0, "kd": 1.0, "both": signals.teacher_weight}[signals.kind]
    return tuple(readout if head.name == READOUT else intermediate for head in heads)


def has_teacher(signals: ErrorSignalSettings) -> bool:
    """Whether the signals need a teacher."""
    return signals.kind in ("kd", "both")


def check_teacher(signals: ErrorSignalSettings, given: bool) -> None:
    """Refuse signals that need a teacher and have none, or have one and no use for it.

    Raises
    ------
    InputError
    """
    if has_teacher(signals) != given:
        trouble = "has no use for a teacher" if given else "needs a teacher: give --teacher FILE"
        raise InputError(f"error_signals.kind is {signals.kind!r}, which {trouble}")


def head_strengths(config: Config, heads: tuple[Head, ...], graph: LayerGraph) -> tuple[float, ...]:
    """lambda of each head before schedule and balance; 1 for the read-out.

    Raises
    ------
    InputError
        A list of the wrong length.
    """
    signals = config.error_signals
    given = per_layer(signals.strength, len(graph.populations), "error_signals.strength")
    strengths = []
    for head in heads:
        value = 1.0 if head.name == READOUT else given[head.layer]
        if head.name != READOUT and signals.profile == "geometric":
            for _ in range(graph.below_top(head.layer)):
                value *= signals.ratio
        strengths.append(value)
    return tuple(strengths)


def annealing(signals: ErrorSignalSettings, progress: float) -> float:
    """Factor on the strengths of the intermediate heads; `progress` is the share of the training that is done."""
    if signals.schedule == "constant" or progress <= signals.anneal_from:
        return 1.0
    return max(0.0, (1.0 - progress) / (1.0 - signals.anneal_from))
