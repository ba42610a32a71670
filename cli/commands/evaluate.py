"""``spikesim evaluate``: test the network of a run file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from spikesim.cli.common import (
    available_threads,
    data_dir_option,
    inference_option,
    make_console,
    run_argument,
    style_option,
    takes,
    tell_compilation,
    threads_option,
    weights_option,
)
from spikesim.cli.completion import complete_dataset
from spikesim.cli.configuration import tested
from spikesim.cli.launch import take_ranks

CLASSES_SHOWN = 20
"""With more classes the confusion matrix is printed on request."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of the command."""

    run: str
    weights: str
    dataset: str | None
    data_dir: Path | None
    inference: str | None
    repeats: int
    test_limit: int | None
    steps_free: int | None
    settings: tuple[str, ...]
    bits: str | None
    confusion: bool | None
    threads: int | None
    style: str


@click.command()
@run_argument
@weights_option
@click.option("--dataset", shell_complete=complete_dataset, help="Data set to test on.  [default: that of the run]")
@data_dir_option
@inference_option
@click.option(
    "--repeats",
    type=click.IntRange(min=1, max=10000),
    default=1,
    show_default=True,
    help="Tests with fresh random numbers; the first repeats the run's own test of these weights.",
)
@click.option(
    "--test-limit", type=click.IntRange(min=1), help="Use only the first N test samples.  [default: that of the run]"
)
@click.option("--steps-free", type=click.IntRange(min=2), help="Steps of the free phase.  [default: that of the run]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key of [dynamics], or error_signals.answer, as for train; repeatable.",
)
@click.option(
    "--bits",
    metavar="N,N,...",
    help="Also test the weights rounded to these numbers of bits, 2 to 16, as export --dtype does: --bits 8,6,4.",
)
@click.option(
    "--confusion/--no-confusion",
    default=None,
    help="Also print accuracy by class and the confusion matrix.  [default: with up to 20 classes, without --bits]",
)
@threads_option
@style_option
@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Test the network of a run file on the test images of its data set, or of another one of the same form.

    Prints accuracy, loss, activity, steps, synaptic operations and estimated energy per sample for each repeat, and the
    confusion matrix; with --bits, instead of these, means over the repeats for each number of bits. The run file is not
    changed. Under mpiexec or srun the processes share the images.
    """
    bits = _bits(options.bits)
    if bits and options.confusion:
        raise click.UsageError("--confusion needs a single set of weights; leave out --confusion or --bits")
    ranks = take_ranks()
    tell_compilation()

    from spikesim.ep.evaluation.from_run import retest, unlike_own_test
    from spikesim.ep.inputs.dataset import load_of_run
    from spikesim.ep.runs.reader import RunReader

    with RunReader(options.run) as reader:
        config = tested(reader, options.settings, vars(options))
        config, images = load_of_run(config, reader, options.data_dir)
        threads = options.threads or available_threads(ranks)
        results = retest(reader, config, images, options.repeats, threads, ranks, options.weights, bits)
        epoch = reader.best_epoch if options.weights == "best" else None
        unlike = unlike_own_test(reader, config, results[0], options.weights)
    if ranks.rank > 0:
        return
    if unlike is not None:
        click.echo(f"warning: {unlike}", err=True)
    if options.style == "json":
        _print_json({"run": options.run, "weights": options.weights, "config": config.to_dict()}, results)
        return
    title = "Test" if epoch is None else f"Test of epoch {epoch}, the best by the validation set"
    if options.bits is None:
        _print_table(title, results)
        _print_classes(results, options.confusion)
    else:
        _print_bits(title, results)


def _bits(text: str | None) -> list[int]:
    """The numbers of bits that were asked for.

    Raises
    ------
    InputError
        One is no number, or out of range.
    """
    from spikesim.ep.network.rounding import BITS_ENGINE, BITS_MIN
    from spikesim.errors import InputError

    found = []
    for word in [] if text is None else text.split(","):
        plain = word.strip()
        bits = int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 9 else 0
        if not BITS_MIN <= bits <= BITS_ENGINE:
            allowed = f"bits of a weight are whole numbers from {BITS_MIN} to {BITS_ENGINE}"
            raise InputError(f"--bits {word!r}: {allowed}, with commas between them: --bits 8,6,4")
        found.append(bits)
    return found


def _print_json(head: dict[str, Any], results: list[Any]) -> None:
    import json

    click.echo(json.dumps({**head, "tests": [result.to_dict() for result in results]}, indent=2))


def _print_table(title: str, results: list[Any]) -> None:
    import statistics

    from spikesim.cli.terminal.tables import Table, print_table

    table = Table(title, ("repeat",))
    table.add_columns(
        "accuracy", "loss", "activity", "steps\nper sample", "ACs\nper sample", "MACs\nper sample", "energy\nper sample"
    )
    for number, result in enumerate(results, 1):
        table.add_row(
            str(number),
            f"{result.accuracy:.2%}",
            f"{result.loss:.4f}",
            f"{result.activity:.2%}",
            f"{result.steps:.4g}",
            f"{result.accumulates:.4g}",
            f"{result.multiply_accumulates:.4g}",
            f"{result.joule * 1e6:.4g} uJ",
        )
    console = make_console()
    print_table(console, table)
    if len(results) > 1:
        accuracies = [result.accuracy for result in results]
        console.print(
            f"accuracy {statistics.mean(accuracies):.2%} +- {statistics.stdev(accuracies):.2%} "
            f"(mean and standard deviation of {len(results)} repeats)"
        )


def _print_bits(title: str, results: list[Any]) -> None:
    import statistics

    from spikesim.cli.terminal.tables import Table, print_table

    table = Table(f"{title}, by the bits of a weight", ("bits",))
    table.add_columns("accuracy", "loss", "activity", "weights\nthat are 0", "ACs\nper sample")
    repeats = 1
    for bits in dict.fromkeys(result.bits for result in results):
        own = [result for result in results if result.bits == bits]
        mean = {
            name: statistics.mean(getattr(result, name) for result in own)
            for name in ("accuracy", "loss", "activity", "accumulates")
        }
        repeats = len(own)
        spread = f" +- {statistics.stdev(result.accuracy for result in own):.2%}" if repeats > 1 else ""
        table.add_row(
            str(bits),
            f"{mean['accuracy']:.2%}{spread}",
            f"{mean['loss']:.4f}",
            f"{mean['activity']:.2%}",
            f"{own[0].zeros:.2%}",
            f"{mean['accumulates']:.4g}",
        )
    console = make_console()
    print_table(console, table)
    console.print(
        "The dynamics use 16 bits. Weights are rounded to multiples of one power of two per layer, the finest that "
        "holds the largest weight; biases are not rounded."
    )
    if repeats > 1:
        console.print(f"Means +- standard deviations of {repeats} repeats.")


def _print_classes(results: list[Any], wanted: bool | None) -> None:
    """Accuracy by class and the confusion matrix, of all repeats together."""
    import numpy as np

    from spikesim.cli.views.class_tables import print_classes
    from spikesim.ep.analysis.classes import confusion_of

    found = [result.confusion for result in results]
    if wanted is False or None in found:
        return
    names = [own.name for own in found[0].classes]
    if wanted is None and len(names) > CLASSES_SHOWN:
        click.echo(f"{len(names)} classes; --confusion prints accuracy by class and the confusion matrix")
        return
    together = confusion_of(np.sum([own.matrix for own in found], axis=0), names)
    if together is not None:
        print_classes(make_console(), together, len(results))
