"""The keys of the optimizer."""

from dataclasses import dataclass

from spikesim.ep.config.sections.options import option

__all__ = ["OptimizerSettings"]


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights follow the contrast."""

    name: str = option("adam", "Optimizer.", choices=("adam", "sgd"))
    epochs: int = option(5, "Passes over the training set.", low=1, high=2**20)
    extended_from: tuple[int, ...] = option(
        (),
        "Number of epochs before each extension; set by 'spikesim resume --epochs'.",
        low=1,
        later=True,
    )
    extended_at: tuple[int, ...] = option(
        (), "Mini-batches done at each extension; from there on the schedule is that of `epochs`.", low=0, later=True
    )
    patience: int | None = option(
        None,
        "End the training after this many epochs without a higher validation accuracy, at the latest after `epochs`; "
        "needs `data.validation`.",
        low=1,
        optional=True,
        later=True,
    )
    freeze: tuple[str, ...] = option(
        (),
        "Names of layers that do not learn, such as conv1,conv2 or a list: their weights, gains, biases and running "
        "statistics stay as they are. Their heads learn.",
        later=True,
    )
    learning_rate: float | tuple[float, ...] = option(
        0.02,
        "Learning rate of a layer's weights, in units of their initial standard deviation, so that it does not depend "
        "on the fan-in; `spikesim info` prints the absolute ones.",
        low=0,
        high=1e6,
        per_layer=True,
    )
    readout_learning_rate: float = option(0.01, "Learning rate of the read-out.", low=0, high=1000)
    centering: bool = option(
        True, "Weights learn from deviations of the presynaptic rates from their mean, biases from the mean."
    )
    bias_factor: float = option(
        0.1,
        "Learning rate of the biases and gains of the layers, as a share of `learning_rate`; unlike that of the "
        "weights, not in units of the initial deviation.",
        low=0,
        high=1000,
    )
    schedule: str = option(
        "cosine",
        "Learning rate over the epochs: constant, or a cosine down to `final_factor`.",
        choices=("constant", "cosine"),
    )
    final_factor: float = option(
        0.05, "Learning rate at the end of the cosine, as a share of the first.", low=0, high=1
    )
    momentum: float = option(0.9, "Momentum of SGD.", low=0, high=0.9999)
    beta1: float = option(0.9, "Decay of Adam's first moment.", low=0, high=0.9999)
    beta2: float = option(0.999, "Decay of Adam's second moment.", low=0, high=0.999999)
    epsilon: float = option(1e-8, "Added to the root of Adam's second moment.", above=0, high=1)
    weight_decay: float = option(
        0.0,
        "Decay of the weights, not of the biases (added to the gradient by SGD, decoupled in Adam).",
        low=0,
        high=10,
    )
