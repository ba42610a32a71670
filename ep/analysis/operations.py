"""Spikes and operations by phase and layer, from the rows of a run file. Part of a report.

Synaptic operations and sparsities have NeuroBench's names and definitions (docs/metrics.md): *dense* operations are
those of the tables that a phase uses if all that it could send were sent; *effective* accumulates (ACs) and
multiply-accumulates (MACs) are those that were done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES
from spikesim.ep.runs.timebase import step_milliseconds

__all__ = ["TEST_PHASE", "TOTAL", "LayerWork", "layer_work", "phase_title"]

TOTAL = "total"
TEST_PHASE = "test"

Columns = Mapping[str, NDArray[Any]]


def phase_title(phase: str) -> str:
    """A phase in a heading: ``Free phase``, ``Test``."""
    return {TEST_PHASE: "Test", TOTAL: "All phases"}.get(phase, f"{phase.capitalize()} phase")


@dataclass(frozen=True)
class LayerWork:
    """What a layer did in a phase, per sample, over the mini-batches of an epoch or over a test.

    Attributes
    ----------
    epoch : int
        The epoch.
    phase : str
        A phase of training, ``"total"`` for all of them together, or ``"test"``.
    layer : str
        Name of the layer, or ``"total"``.
    neurons, samples : int
        Neurons of the layer; samples that the averages are over.
    steps : float
        Time steps per sample.
    spikes : float
        Spikes a sample.
    activity : float
        Spikes a neuron and step.
    activation_sparsity : float or None
        1 less the activity; None where layers send deviations of their rates, which are not counted one by one.
    dense_forward, dense_feedback : float
        Dense synaptic operations per sample into the layer; the four cells of an average pool count
        apart, as they send.
    dense_forward_pooled : float
        `dense_forward` if the pool were a layer of its own, whose positions send.
    effective_acs_forward, effective_acs_feedback : float
        Accumulates a sample (synaptic events) into the layer.
    effective_macs : float
        Multiply-accumulates per sample into the layer.
    neuron_updates : float
        Updates of a membrane potential a sample.
    saturated : float or None
        Share of neurons with a firing probability of 1 at the end of the phase; not measured in tests.
    residual : float or None
        Mean change of the firing probability between the halves of the window; not measured in tests.
    joule : float
        Estimated energy a sample.
    input_ms : float or None
        Milliseconds of input a sample; None where the phase does not follow a recording of events.
    activity_per_ms, operations_per_ms : float or None
        Spikes a neuron and millisecond of input; accumulates and multiply-accumulates per millisecond of input.
    """

    epoch: int
    phase: str
    layer: str
    neurons: int
    samples: int
    steps: float
    spikes: float
    activity: float
    activation_sparsity: float | None
    dense_forward: float
    dense_forward_pooled: float
    dense_feedback: float
    effective_acs_forward: float
    effective_acs_feedback: float
    effective_macs: float
    neuron_updates: float
    saturated: float | None
    residual: float | None
    joule: float
    input_ms: float | None = None
    activity_per_ms: float | None = None
    operations_per_ms: float | None = None


class Traffic(NamedTuple):
    """What the layers of a phase send, and how often.

    Attributes
    ----------
    forward : bool
        Whether forward tables deliver at every step.
    feedback : bool
        Whether feedback tables do.
    cells : bool
        Whether the cells of an average pool send apart, as spikes do, or their sum is sent, once.
    holds : bool
        Whether the phase begins with mean rates, delivered once by all tables (and back by those of clamped drives).
    fires : bool
        Whether what is sent is counted as spikes.
    """

    forward: bool
    feedback: bool
    cells: bool
    holds: bool
    fires: bool


def phase_traffic(reader: RunReader, phase: str) -> Traffic:
    """What is sent in a phase of a run; free phases, tests and live phases send everything.

    Where the feedback gain is 0, free phases and tests send upwards only.
    """
    spikes = reader.setting("dynamics.inference") != "mean-field"
    response = reader.setting("dynamics.nudged_phase")
    if phase in (PHASES[0], TEST_PHASE) or response not in ("linear-response", "clamped-spikes"):
        feedback = reader.setting("dynamics.feedback_gain") != 0
        return Traffic(forward=True, feedback=feedback, cells=spikes, holds=False, fires=True)
    graded = response == "linear-response"
    return Traffic(
        forward=False, feedback=True, cells=spikes, holds=not graded and phase == PHASES[1], fires=not graded
    )


def samples_of_phase(batches: Columns, chosen: NDArray[np.bool_], index: int) -> NDArray[np.float64]:
    """Samples of the chosen mini-batches that went through a phase, by mini-batch: all of them or none.

    A random sign leaves one of the nudged phases out, whose state at the end then is not one to average.
    """
    ran = batches["steps"][chosen, index] > 0
    return np.asarray(batches["samples"][chosen] * ran, np.float64)


def layer_work(batches: Columns, epochs: Columns, reader: RunReader, epoch: int) -> list[LayerWork]:
    """Work by phase and layer in one epoch, with totals, and that of the test after it.

    Parameters
    ----------
    batches, epochs : mapping of str to ndarray
        Columns as `RunReader` gives them.
    reader : RunReader
        The run: its layers, configuration and energy model.
    epoch : int
        The epoch.

    Returns
    -------
    list of LayerWork
        Phases without samples or steps are left out.
    """
    phases: list[list[LayerWork]] = []
    chosen = batches["epoch"] == epoch
    samples = batches["samples"][chosen].astype(np.float64)
    for index, phase in enumerate(PHASES):
        names = ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates", "saturated")
        sums = {name: batches[name][chosen, index].sum(axis=0, dtype=np.float64) for name in names}
        ran = samples_of_phase(batches, chosen, index)
        residual = ran @ batches["residual"][chosen, index] / max(ran.sum(), 1.0)
        steps = float(batches["steps"][chosen, index].sum(dtype=np.float64))
        neurons = sums["neuron_updates"] / max(steps, 1.0)  # that exist, mean over the samples
        phases.append(
            _work_of_phase(
                reader,
                _PhaseSums(
                    epoch=epoch,
                    phase=phase,
                    samples=int(samples.sum()),
                    steps=steps,
                    counters=sums,
                    residual=residual,
                    saturated=sums["saturated"] / np.maximum(neurons * ran.sum(), 1.0),
                ),
            )
        )
    found = [work for works in phases for work in works]
    found += [_together(works) for works in zip(*(works for works in phases if works), strict=True)]
    for row in np.flatnonzero(epochs["epoch"] == epoch):
        tested = ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates")
        tests = _PhaseSums(
            epoch=epoch,
            phase=TEST_PHASE,
            samples=int(epochs["test_samples"][row]),
            steps=float(epochs["test_steps"][row]),
            counters={name: epochs[f"test_{name}"][row].astype(np.float64) for name in tested},
        )
        found += _work_of_phase(reader, tests)
    return found


@dataclass(frozen=True)
class _PhaseSums:
    """What the samples of a phase add up to.

    Attributes
    ----------
    epoch : int
    phase : str
    samples : int
    steps : float
        Of all samples together.
    counters : dict of float64 (L,)
        Columns of /batches, or of a test.
    residual, saturated : float64 (L,) or None
        Means over the samples that went through the phase.
    """

    epoch: int
    phase: str
    samples: int
    steps: float
    counters: Mapping[str, NDArray[np.float64]]
    residual: NDArray[np.float64] | None = None
    saturated: NDArray[np.float64] | None = None


def _work_of_phase(reader: RunReader, given: _PhaseSums) -> list[LayerWork]:
    layers, energy, step_ms = reader.layers, reader.energy_model, step_milliseconds(reader.config)
    traffic = phase_traffic(reader, given.phase)
    phase, samples, steps, sums = given.phase, given.samples, given.steps, given.counters
    if samples == 0 or steps == 0:
        return []
    # The drive of a constant image is computed when a sample starts, and kept by the phases that go on from there.
    starts = phase in (PHASES[0], TEST_PHASE)
    each = steps / samples
    times = [each * traffic.forward + traffic.holds] * len(layers)
    if layers[0].analogue:
        times[0] = float(starts)
    elif not starts:  # of an input that spikes, nudged phases know the mean, which live and clamped drives take up once
        times[0] = float(phase == PHASES[1] and (traffic.forward or traffic.holds))
    neurons = np.array([layer.neurons for layer in layers])
    there = sums["neuron_updates"] / steps  # neurons that exist, mean over the samples: of sequences not all do
    exist = (there / neurons).tolist()
    times = [count * share for count, share in zip(times, exist, strict=True)]
    pooled = [layer.synapses_forward * count for layer, count in zip(layers, times, strict=True)]
    apart = [layer.cells if traffic.cells and traffic.forward else 1 for layer in layers]
    forward = [dense * cells for dense, cells in zip(pooled, apart, strict=True)]
    input_ms = step_ms * each if step_ms is not None and starts else None
    back = each * traffic.feedback + 2 * traffic.holds
    feedback = [layer.synapses_feedback * back * share for layer, share in zip(layers, exist, strict=True)]

    def work(name: str, chosen: slice) -> LayerWork:
        size = float(there[chosen].sum())
        share = there[chosen] / size
        spikes = float(sums["spikes"][chosen].sum())
        events_forward = float(sums["events_forward"][chosen].sum())
        events_feedback = float(sums["events_feedback"][chosen].sum())
        macs = float(sums["macs"][chosen].sum())
        updates = float(sums["neuron_updates"][chosen].sum())
        activity = spikes / (size * steps)
        return LayerWork(
            epoch=given.epoch,
            phase=phase,
            layer=name,
            neurons=int(neurons[chosen].sum()),
            samples=samples,
            steps=each,
            spikes=spikes / samples,
            activity=activity,
            activation_sparsity=1 - activity if traffic.fires else None,
            dense_forward=float(sum(forward[chosen])),
            dense_forward_pooled=float(sum(pooled[chosen])),
            dense_feedback=float(sum(feedback[chosen])),
            effective_acs_forward=events_forward / samples,
            effective_acs_feedback=events_feedback / samples,
            effective_macs=macs / samples,
            neuron_updates=updates / samples,
            saturated=None if given.saturated is None else float((given.saturated[chosen] * share).sum()),
            residual=None if given.residual is None else float((given.residual[chosen] * share).sum()),
            joule=float(energy.estimate(events_forward + events_feedback, macs, updates)) / samples,
            input_ms=input_ms,
            activity_per_ms=None if input_ms is None else spikes / (size * samples * input_ms),
            operations_per_ms=None
            if input_ms is None
            else (events_forward + events_feedback + macs) / (samples * input_ms),
        )

    by_layer = [work(layer.name, slice(index, index + 1)) for index, layer in enumerate(layers)]
    return [*by_layer, work(TOTAL, slice(0, len(layers)))]


def _together(works: tuple[LayerWork, ...]) -> LayerWork:
    """All phases of training of one layer; what holds at the end of a phase has no sum."""

    def total(name: str) -> float:
        return float(sum(getattr(work, name) for work in works))

    first, steps, spikes = works[0], total("steps"), total("spikes")
    activity = spikes / total("neuron_updates")
    counted = all(work.activation_sparsity is not None for work in works)
    return LayerWork(
        epoch=first.epoch,
        phase=TOTAL,
        layer=first.layer,
        neurons=first.neurons,
        samples=first.samples,
        steps=steps,
        spikes=spikes,
        activity=activity,
        activation_sparsity=1 - activity if counted else None,
        dense_forward=total("dense_forward"),
        dense_forward_pooled=total("dense_forward_pooled"),
        dense_feedback=total("dense_feedback"),
        effective_acs_forward=total("effective_acs_forward"),
        effective_acs_feedback=total("effective_acs_feedback"),
        effective_macs=total("effective_macs"),
        neuron_updates=total("neuron_updates"),
        saturated=None,
        residual=None,
        joule=total("joule"),
    )
