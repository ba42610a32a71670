"""``spikesim gradcheck``: the engine's gradient estimates against the exact gradient."""

from collections.abc import Callable
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
    weights_option,
)
from spikesim.cli.completion import run_files
from spikesim.cli.configuration import check_run_options, configuration_options, resolve, take_teacher, teacher_option
from spikesim.cli.help_groups import GroupedCommand
from spikesim.cli.launch import take_ranks
from spikesim.cli.terminal.tables import Table, print_table

if TYPE_CHECKING:
    from spikesim.ep.config.parsing import Config
    from spikesim.ep.gradcheck.check import CheckResult, Variant, VariantResult
    from spikesim.ep.parallel.communicator import Communicator

PLOT_WINDOWS = (10, 20, 40, 80)
PLOT_FACTORS = (0.25, 1.0, 4.0, 16.0)
"""Of dynamics.beta, where betas are to be drawn and none are given."""


def _numbers(kind: type[int] | type[float]) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """A callback that takes a text apart: numbers separated by commas."""

    def convert(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in value.split(",")) if value else ()
        except ValueError:
            what = "integers" if kind is int else "numbers"
            raise click.BadParameter(f"{value!r} is not a list of {what} separated by commas") from None

    return convert


@dataclass(frozen=True)
class GradcheckOptions:
    """Options of the command."""

    data_dir: Path | None
    config_file: Path | None
    settings: tuple[str, ...]
    teacher_file: Path | None
    run: str | None
    weights: str
    batch: int
    repeats: int
    small_beta: float
    grid: bool
    windows: tuple[int, ...]
    betas: tuple[float, ...]
    threads: int | None
    style: str
    plot: Path | None
    overwrite: bool


@click.command(cls=GroupedCommand)
@configuration_options(
    without=(
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
@click.option(
    "--run",
    type=click.Path(),
    metavar="RUN.h5",
    shell_complete=run_files,
    help="Take configuration and weights of a run.",
)
@weights_option
@batch_option
@repeats_option
@click.option(
    "--small-beta",
    type=click.FloatRange(min=0, max=64, min_open=True),
    default=0.05,
    show_default=True,
    help="beta of the mean-field estimate.",
)
@click.option("--grid", is_flag=True, help="Check every combination of noise, firing, contrast and pooling.")
@click.option(
    "--windows",
    callback=_numbers(int),
    default="",
    metavar="N,N,...",
    help="Lengths of the nudged phases.  [default: the configured one]",
)
@click.option(
    "--betas",
    callback=_numbers(float),
    default="",
    metavar="B,B,...",
    help="Values of beta.  [default: the configured one]",
)
@threads_option
@style_option
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw cosines and norms over window and beta, and the estimate over the steps of the nudged phases (needs "
    f"matplotlib). --betas then defaults to a quarter, 1, 4 and 16 times dynamics.beta, --windows, if the nudged "
    f"phases have noise, to {','.join(map(str, PLOT_WINDOWS))}.",
)
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
@takes(GradcheckOptions)
def gradcheck(options: GradcheckOptions, keys: dict[str, Any]) -> None:
    """Compare the stochastic gradient estimate of each layer with the exact gradient.

    Per layer, cosine and ratio of norms between (a) the estimate of the engine, as in training, (b) that of the mean
    field at a small beta, and (c) the exact gradient at the mean field's fixed point. The weights are the initial ones
    with calibrated biases, or those of a run. See spikesim manual gradient-check.

    \b
    Example:
      spikesim gradcheck --arch conv --batch 32 --betas 1,2,4
    """
    ranks = take_ranks()
    tell_compilation()
    plot = options.plot
    if plot is not None:
        from spikesim.cli.views.gradient_plot import require_drawable

        ranks.first(lambda: require_drawable(plot, overwrite=options.overwrite))
    check_run_options(options.run, options.config_file, options.weights)
    keys["data.batch_size"] = options.batch
    if options.run is None:
        config = resolve(options.config_file, options.settings, keys)
        result = _check(config, options, None, ranks)
    else:
        from spikesim.ep.config.parsing import as_recorded
        from spikesim.ep.runs.reader import RunReader

        with RunReader(options.run) as reader:
            config = resolve(None, options.settings, keys, as_recorded(reader.config))
            result = _check(config, options, reader, ranks)
    if ranks.rank > 0:
        return
    if options.style == "json":
        _print_json({"run": options.run, "weights": options.weights}, config, result)
    else:
        _print_tables(result)
    if plot is not None:
        from spikesim.cli.views.gradient_plot import draw

        draw(result, plot, overwrite=options.overwrite)


def _check(config: "Config", options: GradcheckOptions, reader: Any, ranks: "Communicator") -> "CheckResult":
    from spikesim.ep.evaluation.from_run import RunWeights
    from spikesim.ep.gradcheck.check import check_gradients, course, is_noisy, variants
    from spikesim.ep.inputs.dataset import load_dataset, load_of_run

    windows, betas = options.windows, options.betas
    if options.plot is not None:
        windows = windows or (PLOT_WINDOWS if is_noisy(config) else ())
        betas = betas or tuple(factor * config.dynamics.beta for factor in PLOT_FACTORS)
    if reader is None:
        config, dataset = load_dataset(config, options.data_dir)
    else:
        config, dataset = load_of_run(config, reader, options.data_dir)
    soft_targets = None
    if options.teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, options.teacher_file)
    return check_gradients(
        config,
        dataset,
        variants(config, windows, betas, levers=options.grid) + (course(config) if options.plot is not None else []),
        run=None if reader is None else RunWeights(reader, options.weights),
        small_beta=options.small_beta,
        repeats=options.repeats,
        soft_targets=soft_targets,
        execution=make_execution(options.threads, ranks),
    )


def _print_json(head: dict[str, Any], config: "Config", result: "CheckResult") -> None:
    import json

    click.echo(json.dumps({**head, "config": config.to_dict(), **result.to_dict()}, indent=2, allow_nan=False))


def _print_tables(result: "CheckResult") -> None:
    from spikesim.runtime.text import counted

    console = make_console()
    if len(result.variants) == 1:
        print_table(console, _phases_table(result, result.variants[0]))
        print_table(console, _gradients_table(result, result.variants[0]))
    else:
        print_table(console, _mean_field_table(result))
        print_table(console, _variants_table(result))
    repeats = len(result.weights.cosine)
    console.print(
        f"a: stochastic, b: mean field at beta {result.small_beta:g}, c: exact gradient, of the weights; "
        f"{counted(result.samples, 'sample')}{f', means of {repeats} mini-batches' if repeats > 1 else ''}; "
        f"cost of the read-out {result.readout_cost:.4f}"
    )
    worst = max(float(result.residual.max()), float(result.residual_nudged.max()))
    if worst > 1e-6:
        console.print(
            f"The mean field has not converged (residual {worst:.1e}): b and c are unreliable. Weaken the coupling "
            "(model.gain, dynamics.feedback_gain)."
        )


def _phases_table(result: "CheckResult", found: "VariantResult") -> Table:
    """How one variant settled and answered, a row per layer."""
    table = Table("Phases", ("layer",))
    table.add_columns("activity", "residual", "mean field's", "mean |r+-r-|", "median", "90 %", "99 %")
    for layer, name in enumerate(result.layers):
        quantiles = found.quantiles[:, layer].mean(axis=0)
        table.add_row(
            name,
            f"{found.activity[:, layer].mean():.1%}",
            f"{found.residual[:, layer].mean():.1e}",
            f"{result.residual[layer]:.0e}",
            f"{found.difference[:, layer].mean():.2e}",
            *(f"{value:.1e}" for value in quantiles[1:]),
        )
    return table


def _gradients_table(result: "CheckResult", found: "VariantResult") -> Table:
    """How the gradients of one variant compare, a row per layer."""
    pairs = (("a:b", found.weights["mean-field"]), ("b:c", result.weights), ("a:c", found.weights["exact"]))
    names = [f"{what}\n{name}" for what in ("cosine", "norms") for name, _ in pairs]
    table = Table("Gradients", ("layer",))
    table.add_columns(*names, "biases\na:c")
    for layer, name in enumerate(result.layers):
        table.add_row(
            name,
            *(_number(pair.cosine[:, layer].mean()) for _, pair in pairs),
            *(_number(pair.ratio[:, layer].mean()) for _, pair in pairs),
            _number(found.biases["exact"].cosine[:, layer].mean()),
        )
    return table


def _mean_field_table(result: "CheckResult") -> Table:
    """What does not depend on the variant, a row per layer."""
    table = Table("Mean field", ("layer",))
    table.add_columns("activity", "residual", "|p+-p-|", "cosine b:c", "norms b:c")
    for layer, name in enumerate(result.layers):
        table.add_row(
            name,
            f"{result.activity[layer]:.1%}",
            f"{result.residual[layer]:.0e}",
            f"{result.difference[layer]:.1e}",
            _number(result.weights.cosine[:, layer].mean()),
            _number(result.weights.ratio[:, layer].mean()),
        )
    return table


def _variants_table(result: "CheckResult") -> Table:
    """Cosines of the stochastic estimate with the exact gradient, a row a variant and a column per layer."""
    settings = [_settings(found.variant) for found in result.variants]
    varied = [name for name in settings[0] if len({own[name] for own in settings}) > 1]
    common = ", ".join(f"{name} {value}" for name, value in settings[0].items() if name not in varied)
    table = Table(f"Cosine a:c by layer{common and f'; all with {common}'}", tuple(varied))
    table.add_columns(*result.layers)
    for found, own in zip(result.variants, settings, strict=True):
        cosines = found.weights["exact"].cosine.mean(axis=0)
        table.add_row(*(own[name] for name in varied), *(_number(value) for value in cosines))
    return table


def _settings(variant: "Variant") -> dict[str, str]:
    """What tells a variant from others."""
    return {
        "noise": variant.noise,
        "firing": variant.firing,
        "contrast": variant.contrast,
        "pooling": variant.pooling,
        "window": str(variant.steps_nudged),
        "beta": f"{variant.beta:g}",
    }


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
