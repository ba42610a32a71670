"""Streams of random numbers: epoch * STREAMS + the kind of phase."""

from spikesim.ep.config.sections import DynamicsSettings

STREAM_FREE, STREAM_NUDGED, STREAM_NUDGED_MINUS, STREAM_EVALUATION, STREAM_CALIBRATION = range(5)
STREAMS = 8
EPOCHS_MAX = 2**24 // STREAMS


def nudged_stream(dynamics: DynamicsSettings, number: int) -> int:
    """Kind of the stream of a nudged phase of a sample, from 0: one for all with common random numbers."""
    return STREAM_NUDGED_MINUS if number and dynamics.noise == "independent" else STREAM_NUDGED


def stream_of(epoch: int, kind: int) -> int:
    """Stream of random numbers of a phase of an epoch."""
    return epoch * STREAMS + kind
