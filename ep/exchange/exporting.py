"""One run or simulation, many formats: which options each takes, what it writes, and what it cannot say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType

from spikesim import __version__
from spikesim.ep.exchange import metrics, nirgraph, simulations, spikes, weights
from spikesim.ep.exchange.output import check_output, write_output
from spikesim.ep.exchange.predicted import PredictedSpikes
from spikesim.ep.exchange.spikes import SpikeSource
from spikesim.ep.exchange.structure import read_structure
from spikesim.ep.exchange.tensors import DTYPES, safetensors_library, write_integers, write_weights
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError
from spikesim.io.formats import canonical_json
from spikesim.runtime.text import counted
from spikesim.sparse.analysis.window import time_step
from spikesim.sparse.recording import SimulationReader

__all__ = ["FORMATS", "ExportOptions", "export"]

STEP_MS = 1.0
_PLASTIC = "; or plastic weights: --to sonata, csv --table weights"


@dataclass(frozen=True)
class ExportOptions:
    """What some of the formats leave open; None, or nothing, for the default.

    Attributes
    ----------
    step_ms : float or None
        Milliseconds that a time step stands for; by default the dt of a simulation's network, else 1.
    samples, trials : tuple of int
        Samples of a run, trials of a simulation whose spikes are written; all by default.
    table : str or None
        Of CSV: ``"batches"`` (the default), ``"epochs"`` or ``"spikes"``. Of a simulation, CSV and SONATA:
        ``"spikes"`` (the default of SONATA) or ``"weights"``, the plastic ones at the end.
    layout : str or None
        Of weights: ``"torch"`` (the default) or ``"spikesim"``.
    nodes : str or None
        Of a NIR graph, the neurons: ``"li"`` (the default), LI and Threshold, which say all that NIR can say; or
        ``"if"``, which other programs read.
    dtype : str or None
        Of weights: ``"float32"`` (the default); ``"int16"``, as the dynamics have them; ``"int8"`` or ``"int4"``.
    weights : str or None
        Of a NIR graph and of weights: ``"last"`` (the default), or ``"best"`` by the validation set.
    """

    step_ms: float | None = None
    samples: tuple[int, ...] = ()
    trials: tuple[int, ...] = ()
    table: str | None = None
    layout: str | None = None
    nodes: str | None = None
    dtype: str | None = None
    weights: str | None = None


@dataclass(frozen=True)
class _Work:
    """What is to be written, and what the file cannot say."""

    write: Callable[[Path], None]
    losses: str = ""


def export(
    source: RunReader | PredictedSpikes | SimulationReader,
    to: str,
    path: Path,
    options: ExportOptions,
    *,
    overwrite: bool = False,
) -> str:
    """Write what a run or a simulation holds in a format of others.

    Parameters
    ----------
    source : RunReader, PredictedSpikes or SimulationReader
        Predictions and simulations have spikes alone, and potentials of neurons.
    to : str
        A key of `FORMATS`.
    path : Path
    options : ExportOptions
    overwrite : bool
        Replace a file that exists; files of runs and simulations are never replaced.

    Returns
    -------
    str
        What the format cannot say; "" if it says all.

    Raises
    ------
    InputError
        The run does not hold it, an option has no use, or the file cannot be written.
    """
    prepare, used = FORMATS[to]
    if isinstance(source, SimulationReader) and to in WEIGHT_FORMATS and options.table == WEIGHTS:
        make, used = partial(_plastic, to, source, options), used | {"table"}
    elif isinstance(source, RunReader):
        make = partial(prepare, source, options)
    else:
        what = "predictions" if isinstance(source, PredictedSpikes) else "a simulation"
        if to not in SPIKE_FORMATS or (to == "csv" and options.table != "spikes"):
            raise InputError(
                f"{source.path} holds {what}, of which only spikes can be exported: --to {', '.join(SPIKE_FORMATS)} "
                f"--table spikes{_PLASTIC if isinstance(source, SimulationReader) else ''}"
            )
        if isinstance(source, PredictedSpikes):
            make = partial(SPIKE_FORMATS[to], source, options)
        else:
            make = partial(_simulation, to, source, options)
    one, other = ("samples", "trials") if isinstance(source, SimulationReader) else ("trials", "samples")
    if getattr(options, one):
        raise InputError(
            f"--{one[:-1]} is not used with {source.path}, which has {other}; give --{other[:-1]}, or none"
        )
    used |= {other} if "samples" in used else set()
    for item in fields(options):
        if getattr(options, item.name) != item.default and item.name not in used:
            flag = {"samples": "--sample", "trials": "--trial", "step_ms": "--step-ms"}.get(item.name, f"--{item.name}")
            raise InputError(f"{flag} is not used with --to {to}; leave it out")
    check_output(path, overwrite=overwrite)
    work = make()
    write_output(path, work.write, overwrite=overwrite)
    return work.losses


def _step(options: ExportOptions) -> float:
    return STEP_MS if options.step_ms is None else options.step_ms


def _sonata(reader: SpikeSource, options: ExportOptions) -> _Work:
    recording, step_ms = spikes.read_recording(reader, options.samples), _step(options)
    losses = ""
    if len(recording.samples) > 1:
        each = recording.steps * step_ms
        losses = f"SONATA knows no samples: the {len(recording.samples)} follow each other in time, {each:g} ms each"
    return _Work(lambda path: spikes.write_sonata(path, recording, step_ms), losses)


def _nirdata(reader: SpikeSource, options: ExportOptions) -> _Work:
    spikes.nir_library()
    recording, step_ms = spikes.read_recording(reader, options.samples), _step(options)
    losses = "neurons are numbered channel, row, column, as NIR lays out arrays"
    return _Work(lambda path: spikes.write_nirdata(path, recording, step_ms), losses)


def _nir(reader: RunReader, options: ExportOptions) -> _Work:
    spikes.nir_library()
    if options.nodes == "if":
        if options.step_ms is not None:
            raise InputError("--step-ms is not used with --nodes if, whose unit of time is a step; leave it out")
        structure = read_structure(reader, options.weights or "last")
        if structure.config.model.neuron != "clipped-linear":
            raise InputError(
                f"{reader.path} has {structure.config.model.neuron} neurons, whose rates IF neurons cannot represent; "
                "leave out --nodes if"
            )
        return _Work(lambda path: nirgraph.write_if_graph(path, structure), nirgraph.IF_LOSSES)
    structure, step_ms = read_structure(reader, options.weights or "last"), _step(options)
    return _Work(lambda path: nirgraph.write_graph(path, structure, step_ms), nirgraph.LOSSES)


def _neurobench(reader: RunReader, options: ExportOptions) -> _Work:
    metrics.neurobench_results(reader)
    return _Work(lambda path: metrics.write_neurobench(path, reader), metrics.NEUROBENCH_LOSSES)


def _csv(reader: RunReader, options: ExportOptions) -> _Work:
    table = options.table or "batches"
    if table == WEIGHTS:
        raise InputError(
            f"{reader.path} is a run, and --table {WEIGHTS} is of simulations; --to safetensors writes its weights"
        )
    if table != "spikes":
        if options.samples or options.step_ms is not None:
            raise InputError(f"--sample and --step-ms are not used with --table {table}; leave them out")
        return _Work(lambda path: metrics.write_table(path, reader, table))
    return _spike_table(reader, options)


def _spike_table(reader: SpikeSource, options: ExportOptions) -> _Work:
    recording = spikes.read_recording(reader, options.samples)
    return _Work(lambda path: spikes.write_spike_table(path, recording, _step(options)))


def _simulation(to: str, reader: SimulationReader, options: ExportOptions) -> _Work:
    trials = simulations.chosen_trials(reader, options.trials)
    step_ms = options.step_ms or time_step(reader) or STEP_MS
    spiking = simulations.recorded_populations(reader)
    if not spiking and (to != "sonata" or not simulations.recorded_populations(reader, "potentials")):
        raise InputError(f"{reader.path} has no recorded spikes; simulate with record = true of a population")
    write = {
        "sonata": simulations.write_simulation_sonata,
        "nirdata": simulations.write_simulation_nirdata,
        "csv": simulations.write_simulation_spikes,
    }[to]
    losses = []
    if to == "nirdata":
        spikes.nir_library()
    if to == "sonata" and len(trials) > 1:
        each = reader.steps * step_ms
        losses.append(f"SONATA knows no trials: the {len(trials)} follow each other in time, {each:g} ms each")
    missing = [name for name in reader.populations if name not in spiking]
    if missing:
        losses.append(f"spikes of {', '.join(missing)} were not recorded")
    return _Work(lambda path: write(path, reader, trials, step_ms), "; ".join(losses))


def _plastic(to: str, reader: SimulationReader, options: ExportOptions) -> _Work:
    chosen, step_ms = simulations.chosen_trials(reader, options.trials), options.step_ms or time_step(reader) or STEP_MS
    weights.plastic_projections(reader)
    if to == "csv":
        return _Work(lambda path: weights.write_weight_table(path, reader, chosen, step_ms))
    trial = weights.one_trial(reader, chosen)
    fixed = len(reader.projections()) - len(reader.plastic_projections())
    losses = f"{counted(fixed, 'projection')} with fixed weights, which the file of a simulation does not hold"
    return _Work(
        lambda path: weights.write_edges(path, reader, trial, step_ms), f"not written: {losses}" if fixed else ""
    )


def _safetensors(reader: RunReader, options: ExportOptions) -> _Work:
    safetensors_library()
    structure, layout = read_structure(reader, options.weights or "last"), options.layout or "torch"
    metadata = {
        "producer": f"spikesim {__version__}",
        "config": canonical_json(reader.config),
        "config_hash": reader.config_hash,
        "normalization": structure.normalization,
    }
    if options.weights == "best":
        metadata["epoch"] = str(reader.best_epoch)
    given, dtype = (structure.weights, structure.forms, layout, metadata), options.dtype or "float32"
    bits = DTYPES[dtype]
    if bits is None:
        return _Work(lambda path: write_weights(path, *given))
    losses = f"weights have {bits} bits; the exponents of their units are in the metadata"
    if dtype != "int16":
        losses += f"; spikesim evaluate --bits {bits} says what that costs"
    return _Work(lambda path: write_integers(path, *given, dtype), losses)


FORMATS: Mapping[str, tuple[Callable[[RunReader, ExportOptions], _Work], frozenset[str]]] = MappingProxyType(
    {
        "sonata": (_sonata, frozenset({"step_ms", "samples"})),
        "nir": (_nir, frozenset({"step_ms", "nodes", "weights"})),
        "nirdata": (_nirdata, frozenset({"step_ms", "samples"})),
        "neurobench": (_neurobench, frozenset()),
        "csv": (_csv, frozenset({"table", "step_ms", "samples"})),
        "safetensors": (_safetensors, frozenset({"layout", "dtype", "weights"})),
    }
)
"""By name, what prepares the file, and the options that it uses."""
SPIKE_FORMATS: Mapping[str, Callable[[SpikeSource, ExportOptions], _Work]] = MappingProxyType(
    {"sonata": _sonata, "nirdata": _nirdata, "csv": _spike_table}
)
"""What takes spikes, also those of predictions."""
WEIGHTS, WEIGHT_FORMATS = "weights", ("sonata", "csv")
"""The table of plastic weights of a simulation, and what takes it."""
