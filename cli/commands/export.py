"""``spikesim export``: what a run or a simulation holds, in formats of other programs."""

from dataclasses import dataclass
from pathlib import Path

import click

from spikesim.cli.common import run_argument, takes

# The keys of spikesim.ep.exchange.exporting.FORMATS, which is not imported for --help; a test compares them.
FORMATS = ("sonata", "nir", "nirdata", "neurobench", "csv", "safetensors")


@dataclass(frozen=True)
class CommandOptions:
    """Options of the command."""

    run: str
    to: str
    out: Path
    step_ms: float | None
    samples: tuple[int, ...]
    trials: tuple[int, ...]
    table: str | None
    layout: str | None
    nodes: str | None
    dtype: str | None
    weights: str | None
    overwrite: bool


@click.command()
@run_argument
@click.option("--to", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file.")
@click.option(
    "--step-ms",
    type=click.FloatRange(min=0, max=1e6, min_open=True),
    help="sonata, nir, nirdata, csv spikes: milliseconds that a time step stands for.  [default: the dt of a "
    "simulation's network, else 1]",
)
@click.option(
    "--sample",
    "samples",
    type=click.IntRange(min=0),
    multiple=True,
    help="sonata, nirdata, csv spikes: a sample of a run; repeatable.  [default: all that were recorded]",
)
@click.option(
    "--trial",
    "trials",
    type=click.IntRange(min=0),
    multiple=True,
    help="sonata, nirdata, csv spikes: a trial of a simulation; repeatable.  [default: all]",
)
@click.option(
    "--table",
    type=click.Choice(["batches", "epochs", "spikes", "weights"]),
    help="csv: the table to write; weights: plastic ones of a simulation, also with sonata, as edges.  [default: "
    "batches; sonata: spikes]",
)
@click.option(
    "--layout", type=click.Choice(["torch", "spikesim"]), help="safetensors: names and axes.  [default: torch]"
)
@click.option(
    "--nodes",
    type=click.Choice(["li", "if"]),
    help="nir: neurons as LI and Threshold, or as IF, which snnTorch, Norse and Sinabs read.  [default: li]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "int16", "int8", "int4"]),
    help="safetensors: numbers as stored, as in the dynamics (int16), or rounded further, with one power of two per "
    "layer.  [default: float32]",
)
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    help="nir, safetensors: those of the last checkpoint, or of the best epoch by the validation set.  [default: last]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@takes(CommandOptions)
def export(options: CommandOptions) -> None:
    """Write a run or a simulation in formats of other programs.

    Recorded spikes as SONATA, NIRData or CSV, the network as a NIR graph, its weights as safetensors, the counters
    under NeuroBench's names (JSON) or one by one (CSV). What a format cannot express is printed, and written to the
    metadata of the file if it has any (spikesim manual exchange). The run file is not changed. Formats of spikes also
    take the .npz of spikesim predict --spikes in its place, and the file of spikesim simulate, whose potentials SONATA
    has too, and its plastic weights at the end (--table weights).
    """
    from spikesim.ep.exchange.exporting import ExportOptions
    from spikesim.ep.exchange.exporting import export as write
    from spikesim.ep.exchange.predicted import PredictedSpikes
    from spikesim.ep.runs.reader import RunReader, stored_format
    from spikesim.io.formats import SIMULATION_MAGIC
    from spikesim.sparse.recording import SimulationReader

    samples = tuple(dict.fromkeys(options.samples))
    chosen = ExportOptions(
        step_ms=options.step_ms,
        samples=samples,
        trials=tuple(dict.fromkeys(options.trials)),
        table=options.table,
        layout=options.layout,
        nodes=options.nodes,
        dtype=options.dtype,
        weights=options.weights,
    )
    if options.run.endswith(".npz"):
        source = PredictedSpikes(Path(options.run))
        losses = write(source, options.to, options.out, chosen, overwrite=options.overwrite)
    elif stored_format(options.run) == SIMULATION_MAGIC:
        with SimulationReader(options.run) as simulation:
            losses = write(simulation, options.to, options.out, chosen, overwrite=options.overwrite)
    else:
        with RunReader(options.run) as reader:
            losses = write(reader, options.to, options.out, chosen, overwrite=options.overwrite)
    click.echo(f"{options.to} file: {options.out}")
    if losses:
        click.echo(f"note: {losses}")
