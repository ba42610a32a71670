"""What a dry run found, in lines."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikesim.ep.training.dry_run import Estimate

__all__ = ["print_estimate"]


def print_estimate(estimate: "Estimate") -> None:
    """Print what a training is, what it will need, and how long it will take."""
    from spikesim.runtime.text import percent

    for name, text in (*_work_lines(estimate), *_time_lines(estimate)):
        click.echo(f"{name + ':':<13}{text}")
    click.echo(
        f"At the activity of the first mini-batches, {percent(estimate.measured.activity)}, without checkpoints; "
        "fewer spikes take less time."
    )


def _work_lines(estimate: "Estimate") -> "Iterator[tuple[str, str]]":
    from spikesim.runtime.free_memory import gibibytes
    from spikesim.runtime.text import count, counted, si

    layers, work = estimate.header.layers, estimate.work
    shape = "x".join(map(str, estimate.header.input_shape or ()))
    forward, feedback = (sum(getattr(layer, f"synapses_{way}") for layer in layers) for way in ("forward", "feedback"))
    yield "network", f"{estimate.header.config['model']['arch']}, {counted(len(layers), 'layer')}, input {shape}"
    yield "neurons", count(sum(layer.neurons for layer in layers))
    yield "weights", f"{count(estimate.header.weights)}, with biases and read-outs"
    yield "synapses", f"{si(forward).strip()} forward, {si(feedback).strip()} feedback (dense operations of a step)"
    yield (
        "training",
        f"{counted(work.epochs, 'epoch')} of {counted(work.batches, 'mini-batch')}, {counted(work.samples, 'sample')}; "
        f"after each a test of {counted(work.test_samples, 'sample')}",
    )
    yield "memory", f"{gibibytes(estimate.memory)} resident, the peak of this process{_with_compiler(estimate)}"
    spikes = ", without the recorded spikes" if work.recorded else ""
    yield "run file", f"{si(estimate.file).strip()}B at the end{spikes}"


def _with_compiler(estimate: "Estimate") -> str:
    return ", the compiler included" if estimate.measured.compilation else ""


def _time_lines(estimate: "Estimate") -> "Iterator[tuple[str, str]]":
    from spikesim.runtime.text import counted

    measured, work = estimate.measured, estimate.work
    low, high = estimate.quartiles
    yield "compilation", _compilation(measured.compilation)
    yield "preparation", f"{spoken(measured.preparation)}, once"
    yield "calibration", f"{spoken(measured.calibration)}, once"
    yield (
        "mini-batch",
        f"{spoken(estimate.batch)}, the median of {len(measured.batches)}; quartiles {spoken(low)} and {spoken(high)}",
    )
    yield "epoch", f"{spoken(estimate.epoch)}, {work.samples / estimate.epoch:.3g} samples/s"
    yield "test", f"{spoken(estimate.test)}, from {counted(measured.tested, 'sample')}"
    yield (
        "whole run",
        f"{spoken(estimate.run(estimate.batch))}; {spoken(estimate.run(low))} to {spoken(estimate.run(high))} by the "
        "quartiles",
    )


def _compilation(seconds: float) -> str:
    from spikesim.jit.compilation import cache_folder

    if not seconds:
        return "none, the kernels were in the cache"
    if cache_folder().path is None:
        return f"{spoken(seconds)}, at each start, beside the times below"
    return f"{spoken(seconds)}, done now; the kernels are in the cache"


def spoken(seconds: float) -> str:
    """A time as people say it: ``130 ms``, ``20.4 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    from spikesim.runtime.text import si

    if seconds < 99.95:
        return f"{si(seconds)}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
