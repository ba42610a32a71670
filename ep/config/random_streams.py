"""Streams of random numbers: epoch * STREAMS + the kind of phase."""

STREAM_FREE, STREAM_NUDGED, STREAM_NUDGED_MINUS, STREAM_EVALUATION, STREAM_CALIBRATION = range(5)
STREAMS = 8
EPOCHS_MAX = 2**24 // STREAMS


def stream_of(epoch: int, kind: int) -> int:
    """Stream of random numbers of a phase of an epoch."""
    return epoch * STREAMS + kind
