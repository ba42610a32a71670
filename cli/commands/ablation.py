"""``spikesim ablation``: which error signals reach which layers, over kinds of signals and depths."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import (
    batch_option,
    make_console,
    make_execution,
    repeats_option,
    style_option,
    takes,
    tell_compilation,
    threads_option,
)
from spikesim.cli.configuration import configuration_options, resolve, take_teacher, teacher_option
from spikesim.cli.help_groups import GroupedCommand
from spikesim.cli.launch import take_ranks
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.gradcheck.ablation import AblationRow


def _words(what: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a list separated by commas, each once and known."""
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if word not in allowed or words.count(word) > 1:
            raise InputError(f"{what} is {text!r}; it must be a list of {', '.join(allowed)}, each at most once")
    return words


@dataclass(frozen=True)
class AblationOptions:
    """Options of the command."""

    data_dir: Path | None
    config_file: Path | None
    settings: tuple[str, ...]
    teacher_file: Path | None
    archs: str
    kinds: str | None
    batch: int
    repeats: int
    threads: int | None
    style: str


@click.command(cls=GroupedCommand)
@configuration_options(
    without=(
        "--arch",
        "--signals",
        "--epochs",
        "--patience",
        "--batch-size",
        "--test-limit",
        "--validation",
        "--dropout",
        "--target-rate",
        "--init-from",
        "--freeze",
    )
)
@teacher_option
@click.option("--archs", default="vgg5,vgg8,vgg11", show_default=True, metavar="A,A,...", help="Architectures.")
@click.option(
    "--kinds",
    metavar="K,K,...",
    help="Kinds of signals, of none, local, kd, both.  [default: all, without a teacher none,local]",
)
@batch_option
@repeats_option
@threads_option
@style_option
@takes(AblationOptions)
def ablation(options: AblationOptions, keys: dict[str, Any]) -> None:
    """Check the gradients of several depths with several kinds of error signals.

    For each architecture and kind of signals, by layer: the cosine of the stochastic estimate with the exact gradient,
    and the norm of the exact gradient beside the top layer's, without the weight gamma^(l - L) of a layer in the energy
    function. The weights are the initial ones with calibrated biases.

    \b
    Example:
      spikesim ablation --width 0.25 --batch 32
    """
    import json

    ranks = take_ranks()
    tell_compilation()

    from spikesim.ep.config.parsing import make_config, merge
    from spikesim.ep.gradcheck.ablation import ARCHITECTURES, KINDS, ablate
    from spikesim.ep.inputs.dataset import load_dataset

    keys["data.batch_size"] = options.batch
    config = resolve(options.config_file, options.settings, keys)
    default = "none,local" if options.teacher_file is None else ",".join(KINDS)
    chosen = _words("--kinds", options.kinds or default, KINDS)
    names = _words("--archs", options.archs, (*ARCHITECTURES, "conv", "mlp"))
    config, dataset = load_dataset(config, options.data_dir)
    soft_targets = None
    if options.teacher_file is not None:
        taught = make_config(merge(config.to_dict(), [("error_signals.kind", "both")]))
        config, soft_targets = take_teacher(taught, dataset, options.teacher_file)
    rows = ablate(
        config,
        dataset,
        names,
        chosen,
        repeats=options.repeats,
        soft_targets=soft_targets,
        execution=make_execution(options.threads, ranks),
    )
    if ranks.rank > 0:
        return
    if options.style == "json":
        click.echo(json.dumps({"config": config.to_dict(), "rows": [row.to_dict() for row in rows]}, indent=2))
    else:
        _print_tables(rows)


def _print_tables(rows: "list[AblationRow]") -> None:
    from spikesim.cli.terminal.tables import Table, print_table

    layers = max(len(row.layers) for row in rows)
    console = make_console()
    for title, values, form in (
        ("Cosine of the stochastic estimate with the exact gradient, lowest layer first", "cosine", ".2f"),
        (
            "Norm of the exact gradient beside the top layer's, without the layers' weights in the energy",
            "share",
            ".2g",
        ),
    ):
        table = Table(title, ("arch", "error_signals"))
        table.add_columns(*(str(layer + 1) for layer in range(layers)))
        for row in rows:
            numbers = getattr(row, values)
            table.add_row(row.arch, row.kind, *("-" if value != value else f"{value:{form}}" for value in numbers))
        print_table(console, table)
