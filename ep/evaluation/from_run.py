"""Using the network of a run file again: tests, and its logits for a teacher."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.ep.analysis.classes import Confusion, confusion_of
from spikesim.ep.config.parsing import Config, config_of_run
from spikesim.ep.config.random_streams import EPOCHS_MAX, STREAM_EVALUATION, stream_of
from spikesim.ep.evaluation.evaluate import evaluate, logits
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.texts import encoded
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.network.rounding import BITS_ENGINE, round_parameters, zero_weights
from spikesim.ep.parallel.agreement import check_agreement
from spikesim.ep.parallel.communicator import Communicator
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError
from spikesim.runtime.text import percent


class RunWeights(NamedTuple):
    """A run, and which of its weights are meant, "last" or "best" (`RunReader.weights`)."""

    reader: RunReader
    which: str = "last"


@dataclass(frozen=True)
class Retest:
    """One test; steps of the free phase, operations and energy (joule) are a sample's, `confusion` as in a report.

    Weights have so many `bits`; the share `zeros` of those of the layers and of the read-out is 0.
    """

    bits: int
    zeros: float
    samples: int
    correct: int
    accuracy: float
    loss: float
    activity: float
    steps: float
    accumulates: float
    multiply_accumulates: float
    joule: float
    confusion: Confusion | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run_parameters(reader: RunReader, model: Model, dataset: str, which: str = "last") -> ParameterTree:
    """The parameters of a run, for a model that fits a data set of this name.

    Parameters
    ----------
    which : {"last", "best"}
        Those of the last checkpoint, or of the best epoch by the validation set.

    Raises
    ------
    InputError
        The network does not fit the data set, or the run has no such weights.
    """
    weights = reader.weights(which)
    shapes: dict[str, tuple[int, ...]] = {f"{head.name}/weight": model.head_shape(head) for head in model.heads}
    shapes.update({edge.weight: edge.shape for edge in model.graph.edges})
    for name, shape in shapes.items():
        if name not in weights or weights[name].shape != shape:
            present = weights[name].shape if name in weights else "none"
            raise InputError(
                f"the run's weights {name} are {present}, a network for {dataset} needs {shape}; "
                "choose a data set with the same image size and classes"
            )
    if not any(array.any() for array in weights.values()):
        raise InputError(f"{reader.path} has no weights yet; wait for its first checkpoint")
    return ParameterTree.of_leaves(model.graph, model.heads, weights)


def of_run(reader: RunReader, config: Config, dataset: Dataset) -> Dataset:
    """A data set as the network of a run takes it: texts with the vocabulary of the run.

    Raises
    ------
    InputError
        The data set has texts, and the run has no vocabulary.
    """
    vocabulary = None if reader.samples is None else reader.samples.vocabulary
    if dataset.text and vocabulary is None:
        raise InputError(f"{reader.path} was not trained on texts, and {dataset.name} has texts; choose another set")
    return encoded(config, dataset, vocabulary)


def load_run_model(
    reader: RunReader, config: Config, dataset: Dataset, ranks: Communicator | None = None, which: str = "last"
) -> Model:
    """The network of a run, with its weights.

    Parameters
    ----------
    config : Config
        That of the run, or with another data set, inference or length.
    ranks : Communicator, optional
        The processes that share the work.
    which : {"last", "best"}
        The weights, as for `run_parameters`.

    Raises
    ------
    InputError
        The network does not fit the data set, the run has no such weights, or the processes differ.
    """
    model = Model(config, dataset)
    parameters = run_parameters(reader, model, dataset.name, which)
    if ranks is not None:
        check_agreement(ranks, config, dataset, parameters=parameters)
    model.set_parameters(parameters)
    return model


def retest(
    reader: RunReader,
    config: Config,
    dataset: Dataset,
    repeats: int,
    threads: int,
    ranks: Communicator | None = None,
    which: str = "last",
    bits: Sequence[int] = (),
) -> list[Retest]:
    """Test the weights of a run.

    Parameters
    ----------
    config : Config
        That of the run, or with another data set, inference or length.
    repeats : int
        Tests with fresh random numbers; the first has those of the run's own test of these weights.
    ranks : Communicator, optional
        The processes that share the work.
    which : {"last", "best"}
        The weights, as for `run_parameters`.
    bits : sequence of int
        Besides the weights as the dynamics have them, test them rounded to so many bits, as `round_weights` does.

    Returns
    -------
    list of Retest
        By number of bits, those of the dynamics first, then by repeat.

    Raises
    ------
    InputError
        The network does not fit the data set, or the run has no such weights.
    """
    dataset = of_run(reader, config, dataset)
    model = load_run_model(reader, config, dataset, ranks, which)
    parameters = run_parameters(reader, model, dataset.name, which)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    available = len(dataset.test.labels)
    samples = config.data.test_limit if config.data.test_limit is not None else available
    if samples > available:
        raise InputError(f"data.test_limit is {samples}; {dataset.name} has {available} test samples")
    results = []
    with ThreadPool(model, config, threads, ranks=ranks) as thread_pool:
        for count in dict.fromkeys((BITS_ENGINE, *bits)):
            rounded = round_parameters(parameters, count)
            if count != BITS_ENGINE:
                model.set_parameters(rounded)
            for stream in evaluation_streams(reader, repeats, which):
                found = evaluate(thread_pool, pipeline, dataset.test, samples, stream)
                counts = found.counts
                accumulates = counts.events_forward + counts.events_feedback
                results.append(
                    Retest(
                        bits=count,
                        zeros=zero_weights(rounded),
                        samples=samples,
                        correct=found.correct,
                        accuracy=found.accuracy,
                        loss=found.loss,
                        activity=float(counts.spikes.sum() / counts.updates.sum()),
                        steps=float(counts.steps / samples),
                        accumulates=float(accumulates.sum() / samples),
                        multiply_accumulates=float(counts.macs.sum() / samples),
                        joule=float(np.sum(reader.energy_model.estimate(accumulates, counts.macs)) / samples),
                        confusion=confusion_of(found.confusion(), dataset.class_names),
                    )
                )
    return results


def unlike_own_test(reader: RunReader, config: Config, result: Retest, which: str = "last") -> str | None:
    """A line on a test that repeats the run's own and comes to another result.

    Parameters
    ----------
    config : Config
        As it was tested.
    result : Retest
        The first of `retest`.
    which : {"last", "best"}
        The weights that were tested.

    Returns
    -------
    str or None
        None where the results agree, or the test is another one.
    """
    own, epochs = config_of_run(reader.config), reader.epochs
    same = all(getattr(config, name) == getattr(own, name) for name in ("data", "dynamics", "error_signals", "seed"))
    if which == "best":
        epoch = reader.best_epoch or 0
    else:  # a run that has not ended may hold weights of after its last test
        epoch = len(epochs["epoch"]) if reader.status == "finished" else 0
    if not same or not epoch or result.samples != epochs["test_samples"][epoch - 1]:
        return None
    correct = int(epochs["test_correct"][epoch - 1])
    if result.correct == correct:
        return None
    return (
        f"the run's own test of these weights after epoch {epoch} has {percent(correct / result.samples)}, this one "
        f"{percent(result.accuracy)}: {reader.path} is of a version whose bits differ, or its weights have changed"
    )


def training_logits(
    reader: RunReader,
    config: Config,
    dataset: Dataset,
    repeats: int,
    threads: int,
    progress: Callable[[int], None] | None = None,
    ranks: Communicator | None = None,
    which: str = "last",
) -> NDArray[np.float64]:
    """What the network of a run says of every training sample, whatever `data.limit` is: the mean logits of its tests.

    Parameters
    ----------
    config : Config
        That of the run, or with another data set or inference.
    repeats : int
        Streams of random numbers over which the logits are averaged.
    progress : callable, optional
        Called with the number of samples that have been done since the last call.
    ranks : Communicator, optional
        The processes that share the work.
    which : {"last", "best"}
        The weights, as for `run_parameters`.

    Returns
    -------
    float64 (training samples, classes)

    Raises
    ------
    InputError
        The network does not fit the data set, or the run has no such weights.
    """
    dataset = of_run(reader, config, dataset)
    model = load_run_model(reader, config, dataset, ranks, which)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    samples = len(dataset.train.labels)
    total = np.zeros((samples, dataset.classes))
    with ThreadPool(model, config, threads, ranks=ranks) as thread_pool:
        for stream in evaluation_streams(reader, repeats, which):
            total += logits(thread_pool, pipeline, dataset.train, samples, stream, progress)
    return total / repeats


def evaluation_streams(reader: RunReader, repeats: int, which: str = "last") -> list[int]:
    """Streams of random numbers for tests; the first is that of the run's own test of these weights."""
    epochs = reader.epochs["epoch"] if which == "last" else [reader.best_epoch]
    first = max(0, int(epochs[-1]) - 1) if len(epochs) else 0
    return [stream_of((first + repeat) % EPOCHS_MAX, STREAM_EVALUATION) for repeat in range(repeats)]
