"""``spikesim predict``: what the network of a run file says of samples without labels."""

from dataclasses import dataclass
from pathlib import Path

import click

from spikesim.cli.common import (
    available_threads,
    inference_option,
    run_argument,
    takes,
    tell_compilation,
    threads_option,
    weights_option,
)
from spikesim.cli.completion import complete_dataset
from spikesim.cli.launch import refuse_ranks
from spikesim.cli.selections import parse_numbers


@dataclass(frozen=True)
class PredictOptions:
    """Options of the command."""

    run: str
    file: Path
    out: Path
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
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The predictions: .csv, a row for each sample, or .npz, all arrays.",
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
    help="Number of the first sample, which its random numbers follow: for parts of a larger set.",
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
    help="Data set that says how samples are prepared.  [default: the run file does; files of older versions do not]",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder where that data set, without --dataset the run's own, is looked for.",
)
@threads_option
@click.option("--overwrite", is_flag=True, help="Replace the file of predictions if it exists.")
@takes(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Classify samples without labels by the network of a run file, which is all that is needed.

    FILE holds images: .npy or .npz (uint8, or floats from 0 to 1; samples, rows, columns, channels), IDX, a picture
    (PNG, JPEG) or a folder of pictures; or, for a network of event-based input, recordings: .npz, HDF5 or N-MNIST's
    .bin. spikesim manual inference describes what is written.
    """
    refuse_ranks("predict")
    tell_compilation()

    import numpy as np

    from spikesim.datasets.formats.unlabelled import read_images, read_recordings
    from spikesim.ep.evaluation.network import load
    from spikesim.ep.exchange.output import check_output, write_output
    from spikesim.ep.exchange.predictions import Predicted, check_suffix, write_predictions
    from spikesim.ep.parallel.communicator import Alone
    from spikesim.errors import InputError
    from spikesim.runtime.text import counted

    check_suffix(options.out, spikes=options.spikes is not None)
    target = check_output(options.out, overwrite=options.overwrite)
    if target.exists() and options.file.exists() and target.samefile(options.file):
        raise InputError(f"--out is {options.out}, which holds the samples; choose another --out")
    network = load(options.run, options.dataset, options.data_dir, weights=options.weights)
    samples, names = (read_recordings if network.recordings else read_images)(options.file, network.sample_shape)
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
    predicted = Predicted(network, found, ids, samples, names)
    write_output(
        options.out, lambda path: write_predictions(path, predicted, options.out.suffix), overwrite=options.overwrite
    )
    click.echo(f"predictions of {counted(len(samples), 'sample')}: {options.out}")


def _chosen(text: str | None, samples: int) -> bool | list[int]:
    """The samples of --spikes."""
    if text is None or text == "all":
        return text is not None
    return parse_numbers("--spikes", text, "all, or positions of samples", samples)
