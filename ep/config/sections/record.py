"""The keys of what is written beside the counters."""

from dataclasses import dataclass

from spikesim.ep.config.sections.options import option

__all__ = ["RecordSettings"]


@dataclass(frozen=True)
class RecordSettings:
    """What is written beside the counters."""

    spikes: tuple[int, ...] = option((), "Test samples whose spikes are recorded, in the last test of the run.")
    traces: int = option(
        8,
        "Number of training samples, the first ones, whose phases are followed step by step after each epoch: energy, "
        "residual and activity.",
        low=0,
        high=4096,
    )
