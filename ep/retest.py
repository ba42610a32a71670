"""Testing the network of a run file again."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spikesim.datasets import Dataset
from spikesim.ep import phases as ph
from spikesim.ep.config import Config
from spikesim.ep.evaluation import evaluate
from spikesim.ep.model import Model, Parameters
from spikesim.ep.presentation import Presenter
from spikesim.ep.team import Team
from spikesim.errors import InputError
from spikesim.runreader import RunReader


@dataclass(frozen=True)
class Retest:
    """One test; operations and energy (joule) are a sample's."""

    samples: int
    correct: int
    accuracy: float
    loss: float
    activity: float
    accumulates: float
    multiply_accumulates: float
    joule: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run_parameters(reader: RunReader, model: Model, dataset: str) -> Parameters:
    """The parameters of a run, for a model that fits a data set of this name.

    Raises
    ------
    InputError
        The network does not fit the data set, or the run has no weights yet.
    """
    weights = reader.weights()
    shapes: dict[str, tuple[int, ...]] = {f"{head.name}/weight": model.head_shape(head) for head in model.heads}
    shapes.update({f"{name}/weight": model.weight_shape(layer) for layer, name in enumerate(model.names)})
    for name, shape in shapes.items():
        if name not in weights or weights[name].shape != shape:
            present = weights[name].shape if name in weights else "none"
            raise InputError(
                f"the run's weights {name} are {present}, a network for {dataset} needs {shape}; "
                "choose a data set with the same image size and classes"
            )
    if not any(array.any() for array in weights.values()):
        raise InputError(f"{reader.path} has no weights yet; wait for its first checkpoint")
    return Parameters.from_dict(model.parameter_names, model.layers, weights)


def retest(reader: RunReader, config: Config, dataset: Dataset, repeats: int, threads: int) -> list[Retest]:
    """Test the weights of a run.

    Parameters
    ----------
    config : Config
        That of the run, or with another data set, inference or length.
    repeats : int
        Tests with fresh random numbers; the first has those of the run's last test.

    Raises
    ------
    InputError
        The network does not fit the data set, or the run has no weights yet.
    """
    model = Model(config, dataset)
    model.load(run_parameters(reader, model, dataset.name))
    presenter = Presenter(config, dataset, model.stack.image.shape)
    available = len(dataset.test.labels)
    samples = config.data.test_limit if config.data.test_limit is not None else available
    if samples > available:
        raise InputError(f"data.test_limit is {samples}; {dataset.name} has {available} test samples")
    epochs = reader.epochs["epoch"]
    last = int(epochs[-1]) - 1 if len(epochs) else 0
    results = []
    with Team(model, config, threads) as team:
        for repeat in range(repeats):
            stream = ph.stream_of((last + repeat) % ph.EPOCHS_MAX, ph.STREAM_EVALUATION)
            found = evaluate(team, presenter, dataset.test, samples, stream)
            counts = found.counts
            accumulates = counts.events_forward + counts.events_feedback
            results.append(
                Retest(
                    samples=samples,
                    correct=found.correct,
                    accuracy=found.accuracy,
                    loss=found.loss,
                    activity=float(counts.spikes.sum() / counts.updates.sum()),
                    accumulates=float(accumulates.sum() / samples),
                    multiply_accumulates=float(counts.macs.sum() / samples),
                    joule=float(np.sum(reader.energy_model.estimate(accumulates, counts.macs)) / samples),
                )
            )
    return results
