"""``spikesim predict``: what the network of a run file says of samples without labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from spikesim.cli.common import (
    available_threads,
    inference_option,
    make_console,
    run_argument,
    takes,
    tell_compilation,
    threads_option,
    weights_option,
)
from spikesim.cli.completion import complete_dataset
from spikesim.cli.launch import refuse_ranks
from spikesim.cli.selections import parse_numbers

if TYPE_CHECKING:
    from spikesim.datasets.samples.token_set import TokenSet


@dataclass(frozen=True)
class PredictOptions:
    """Options of the command."""

    run: str
    file: Path | None
    text: tuple[str, ...]
    explain: bool
    out: Path | None
    spikes: str | None
    first: int
    weights: str
    inference: str | None
    steps_free: int | None
    seed: int | None
    dataset: str | None
    data_dir: Path | None
    threads: int | None
    overwrite: bool


@click.command()
@run_argument
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--text", multiple=True, help="A text, instead of FILE; may be repeated.")
@click.option(
    "--explain",
    is_flag=True,
    help="Show which tokens of the texts fired the neurons that decided; with --out FILE.html as a page.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The predictions: .csv, a row for each sample, or .npz, all arrays. Those of --text are shown without it.",
)
@click.option(
    "--spikes",
    metavar="SAMPLES",
    help="Record the spikes of these samples in the .npz: all, or their positions, such as 0,3,10-19.",
)
@click.option(
    "--first",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    help="Number of the first sample, on which its random numbers depend: for parts of a larger set.",
)
@weights_option
@inference_option
@click.option("--steps-free", type=click.IntRange(min=2), help="Steps of the free phase.  [default: that of the run]")
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**63 - 1), help="Seed of the random numbers.  [default: that of the run]"
)
@click.option(
    "--dataset",
    shell_complete=complete_dataset,
    help="Data set that defines how samples are prepared.  [default: that of the run file; files of older versions "
    "lack it]",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of data sets, for --dataset or for the run's own.",
)
@threads_option
@click.option("--overwrite", is_flag=True, help="Replace the file of predictions if it exists.")
@takes(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Classify samples without labels with the network of a run file. No data set is needed.

    FILE holds images: .npy or .npz (uint8, or floats from 0 to 1; samples, rows, columns, channels), IDX, a picture
    (PNG, JPEG) or a folder of pictures; or, for a network of event-based input, recordings: .npz, HDF5 or N-MNIST's
    .bin; or series: .npy, .npz or .ts; or texts: .txt, one per line, .tsv or .csv. spikesim manual inference describes
    what is written.
    """
    refuse_ranks("predict")
    tell_compilation()

    import numpy as np

    from spikesim.datasets.samples.token_set import TokenSet
    from spikesim.ep.evaluation.network import load
    from spikesim.ep.exchange.output import check_output, write_output
    from spikesim.ep.exchange.predictions import Predicted, check_suffix, write_predictions
    from spikesim.ep.parallel.communicator import Alone
    from spikesim.errors import InputError
    from spikesim.runtime.printable import printable
    from spikesim.runtime.text import counted

    if (options.file is None) == (not options.text):
        raise InputError("give either FILE or --text")
    if options.explain:
        _explain(options)
        return
    if options.out is None and not options.text:
        raise InputError("--out is missing; name a file for the predictions, .csv or .npz")
    if options.out is not None:
        check_suffix(options.out, spikes=options.spikes is not None)
        target = check_output(options.out, overwrite=options.overwrite)
        if options.file is not None and target.exists() and options.file.exists() and target.samefile(options.file):
            raise InputError(f"--out is {options.out}, the file of the samples; choose another --out")
    elif options.spikes is not None:
        raise InputError("--spikes needs a file to record them in; give --out FILE.npz")
    network = load(options.run, options.dataset, options.data_dir, weights=options.weights)
    given = _given(network.kind, network.sample_shape, options)
    samples = network.taken(given.samples)
    if isinstance(samples, TokenSet):
        _warn_of_unknown(samples)
    ids = options.first + np.arange(len(samples))
    found = network.predict(
        samples,
        ids=ids,
        spikes=_chosen(options.spikes, len(samples)),
        threads=options.threads or available_threads(Alone()),
        seed=options.seed,
        steps=options.steps_free,
        inference=options.inference,
    )
    if options.out is None:
        for text, label, probabilities in zip(options.text, found.labels, found.probabilities, strict=True):
            click.echo(f"{network.classes[label]}  {probabilities[label]:.3f}  {printable(text)}")
        return
    predicted, suffix = Predicted(network, found, ids, samples, given.names, given.texts), options.out.suffix
    write_output(options.out, lambda path: write_predictions(path, predicted, suffix), overwrite=options.overwrite)
    click.echo(f"predictions of {counted(len(samples), 'sample')}: {options.out}")


def _warn_of_unknown(texts: "TokenSet") -> None:
    """Name texts that say nothing to the network."""
    from spikesim.runtime.text import counted

    found = texts.without_known()
    if len(found):
        click.echo(
            f"warning: none of the tokens of {counted(len(found), 'text')} is in the vocabulary of the run, the first "
            f"is text {found[0] + 1} of {len(texts)}; their predictions are those of unknown tokens",
            err=True,
        )


def _explain(options: PredictOptions) -> None:
    """Which tokens decided, in the terminal or as a page."""
    import numpy as np

    from spikesim.cli.views.token_bars import print_token_bars
    from spikesim.ep.evaluation.network import load
    from spikesim.ep.exchange.output import check_output, write_output
    from spikesim.ep.parallel.communicator import Alone
    from spikesim.ep.reports.pages.words_page import words_page
    from spikesim.errors import InputError
    from spikesim.runtime.printable import printable
    from spikesim.runtime.text import counted

    if options.spikes is not None:
        raise InputError("--explain records no --spikes; leave one of them out")
    if options.out is not None:
        if options.out.suffix != ".html":
            raise InputError(f"--out is {options.out}; with --explain its name must end in .html, or leave it out")
        check_output(options.out, overwrite=options.overwrite)
    network = load(options.run, options.dataset, options.data_dir, weights=options.weights)
    if network.kind != "text":
        raise InputError(f"--explain is for a network of texts; {options.run} takes {network.kind}")
    texts = _given(network.kind, network.sample_shape, options).texts
    assert texts is not None
    ids, threads = options.first + np.arange(len(texts)), options.threads or available_threads(Alone())
    seed, steps, inference = options.seed, options.steps_free, options.inference
    explained = network.explain(texts, ids=ids, threads=threads, seed=seed, steps=steps, inference=inference)
    if options.out is None:
        console = make_console()
        for text, own in zip(texts, explained, strict=True):
            click.echo(f"{network.classes[own.label]}  {own.probability:.3f}  {printable(text)}")
            print_token_bars(console, own, network.classes)
        return
    rows = [
        {"text": text, "class": network.classes[own.label], **own.to_dict()}
        for text, own in zip(texts, explained, strict=True)
    ]
    page = words_page({"run": options.run, "texts": rows})

    def write(path: Path) -> None:
        path.write_bytes(page)

    write_output(options.out, write, overwrite=options.overwrite)
    click.echo(f"answers to {counted(len(texts), 'text')}, token by token: {options.out}")


class _Given(NamedTuple):
    """Samples as they were given."""

    samples: Any
    names: list[str] | None = None
    texts: tuple[str, ...] | None = None


def _given(kind: str, shape: tuple[int, int, int], options: PredictOptions) -> _Given:
    """Those of the file or of --text, for a network that takes samples of a kind and shape."""
    from spikesim.datasets.formats.sequences.unlabelled import read_series, read_texts
    from spikesim.datasets.formats.unlabelled import read_images, read_recordings
    from spikesim.errors import InputError

    if options.text:
        if kind != "text":
            raise InputError(f"--text needs a network for texts; {options.run} takes {kind}: give a FILE")
        return _Given(options.text, None, options.text)
    assert options.file is not None
    if kind == "text":
        texts = read_texts(options.file).texts
        return _Given(texts, None, texts)
    if kind == "series":
        return _Given(read_series(options.file, shape))
    found = (read_recordings if kind == "recordings" else read_images)(options.file, shape)
    return _Given(*found)


def _chosen(text: str | None, samples: int) -> bool | list[int]:
    """The samples of --spikes."""
    if text is None or text == "all":
        return text is not None
    return parse_numbers("--spikes", text, "all, or positions of samples", samples)
