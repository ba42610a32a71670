"""``spikesim import``: weights from elsewhere, into a run file."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from spikesim.cli.common import tell_compilation
from spikesim.cli.configuration import configuration_options, option_words, resolve, take_teacher, teacher_option
from spikesim.cli.launch import refuse_ranks


@click.command("import")
@click.argument("weights", metavar="WEIGHTS.safetensors", type=click.Path(path_type=Path))
@configuration_options(without=("--init-from",))
@teacher_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run file, HDF5.")
@click.option("--overwrite", is_flag=True, help="Replace the run file if it exists.")
def import_(
    weights: Path,
    data_dir: Path | None,
    config_file: Path | None,
    settings: tuple[str, ...],
    teacher_file: Path | None,
    out: Path,
    overwrite: bool,
    **keys: Any,
) -> None:
    """Make a run file from the weights of a network that was trained elsewhere.

    The network is configured as for train, but without a normalization, and the file must have the weights and biases
    of its layers and of its read-out, with the names and shapes of spikesim manual exchange. The run has no
    mini-batches: evaluate, gradcheck --run, teacher and export take it, and train --resume trains it further.

    \b
    Example:
      spikesim import twin.safetensors --arch conv --dataset fashion-mnist-mini --out twin.h5
    """
    refuse_ranks("import")
    named = any(text.startswith("model.normalization") for text in settings)
    if keys["model__normalization"] is None and not named:
        keys["model__normalization"] = "none"  # given weights keep their means
    config = resolve(config_file, settings, keys)
    tell_compilation()

    from spikesim.ep.exchange.importing import import_weights
    from spikesim.ep.inputs.dataset import load_dataset
    from spikesim.ep.training.run_store import RunOptions

    config, dataset = load_dataset(config, data_dir)
    soft_targets = None
    if teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, teacher_file)
    options = RunOptions(out=out, overwrite=overwrite, command_line=shlex.join(["spikesim", *sys.argv[1:]]))
    found = import_weights(config, dataset, weights, options, soft_targets)
    click.echo(f"{weights}: layout {found.layout}")
    for layer in found.layers:
        shape = "x".join(map(str, layer.shape))
        click.echo(f"  {layer.name}: {shape} weights, in steps of 2^{-layer.exponent}; {layer.lost:.2%} become 0")
    if found.fresh:
        click.echo(f"  not in the file, set as at the start of a training: {', '.join(found.fresh)}")
    click.echo(f"run file: {out}")
    words = option_words(config_file, settings, keys, data_dir)
    if teacher_file is not None:
        words += ["--teacher", str(teacher_file)]
    words += ["--set", f"model.weights={found.digest}", "--out", str(out), "--resume"]
    click.echo(f"continue training: {shlex.join(['spikesim', 'train', *words])}")
