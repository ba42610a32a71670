"""``spikesim export``: what a run holds, in formats of other programs."""

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
    help="sonata, nir, nirdata, csv spikes: milliseconds that a time step stands for.  [default: 1]",
)
@click.option(
    "--sample",
    "samples",
    type=click.IntRange(min=0),
    multiple=True,
    help="sonata, nirdata, csv spikes: a sample to write; repeatable.  [default: all that were recorded]",
)
@click.option(
    "--table", type=click.Choice(["batches", "epochs", "spikes"]), help="csv: what is written.  [default: batches]"
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
    help="safetensors: numbers as stored, as the dynamics have them (int16), or rounded further, with one power of two "
    "for the layer.  [default: float32]",
)
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    help="nir, safetensors: those of the last checkpoint, or of the best epoch by the validation set.  [default: last]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@takes(CommandOptions)
def export(options: CommandOptions) -> None:
    """Write what a run holds for other programs.

    Recorded spikes as SONATA, NIRData or CSV, the network as a NIR graph, its weights as safetensors, the counters
    under NeuroBench's names (JSON) or one by one (CSV). What a format cannot say is told, and stands in the file's
    metadata if it has some (spikesim manual exchange). The run file is not changed. Formats of spikes also take the
    .npz of spikesim predict --spikes in its place.
    """
    from spikesim.ep.exchange.exporting import ExportOptions
    from spikesim.ep.exchange.exporting import export as write
    from spikesim.ep.exchange.predicted import PredictedSpikes
    from spikesim.ep.runs.reader import RunReader

    samples = tuple(dict.fromkeys(options.samples))
    chosen = ExportOptions(
        step_ms=options.step_ms,
        samples=samples,
        table=options.table,
        layout=options.layout,
        nodes=options.nodes,
        dtype=options.dtype,
        weights=options.weights,
    )
    if options.run.endswith(".npz"):
        source = PredictedSpikes(Path(options.run))
        losses = write(source, options.to, options.out, chosen, overwrite=options.overwrite)
    else:
        with RunReader(options.run) as reader:
            losses = write(reader, options.to, options.out, chosen, overwrite=options.overwrite)
    click.echo(f"{options.to} file: {options.out}")
    if losses:
        click.echo(f"note: {losses}")
