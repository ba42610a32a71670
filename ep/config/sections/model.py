"""The keys of the network and its initial weights."""

from dataclasses import dataclass
from typing import Any

from spikesim.ep.config.sections.options import option
from spikesim.runtime.manual import manual

__all__ = ["ModelSettings"]


@dataclass(frozen=True)
class ModelSettings:
    """The network and its initial weights."""

    arch: str = option(
        "vgg11",
        "Architecture: mlp, conv, conv1d, textcnn, vgg5, vgg8, vgg9, vgg11, vgg16, resnet13, or custom (with "
        "`layers`).",
    )
    width: float = option(1.0, "Factor on the channels of every layer.", above=0, high=64)
    layers: tuple[dict[str, Any], ...] = option(
        (), "The rows of a custom architecture: tables with kind, channels, kernel, padding, stride, pool, from."
    )
    gain: float | tuple[float, ...] = option(
        1.5,
        "Standard deviation of the initial weights times the square root of the fan-in, in the second layer (or a "
        "list with a value for every layer).",
        above=0,
        high=100,
        per_layer=True,
    )
    gain_growth: float = option(
        1.2,
        "Factor from layer to layer on `gain`: it compensates for the loss of signal variance with depth.",
        above=0,
        high=10,
    )
    first_gain: float = option(
        1.0, "The same for the first layer, which sees the image and no feedback.", above=0, high=100
    )
    readout_gain: float = option(1.0, "The same for the read-out.", above=0, high=100)
    normalization: str = option(
        "running-statistics",
        "none: the layers learn their weights. Otherwise they learn weights without their mean and a gain per "
        "channel; running-statistics divides the drive by its running standard deviation, weight-standardization the "
        "weights by their norm.",
        choices=("none", "running-statistics", "weight-standardization"),
        before="none",
    )
    drive_deviation: float | tuple[float, ...] = option(
        0.35,
        "Standard deviation of a normalized drive at the start, the initial gain (a list has a value for every layer).",
        above=0,
        high=100,
        per_layer=True,
    )
    statistics_rate: float = option(
        0.1, "Share of a mini-batch in the running statistics of normalized drives.", above=0, high=1
    )
    statistics_schedule: str = option(
        "annealed",
        "That share over the training: constant, or falling with the learning rate (annealed), so that the statistics "
        "of the last weights are those of many mini-batches.",
        choices=("constant", "annealed"),
    )
    activity: float | tuple[float, ...] = option(
        0.1,
        "Mean firing probability of a layer to which the initial biases are calibrated; 0 leaves all biases at 0.",
        low=0,
        high=0.9,
        per_layer=True,
    )
    dropout: float = option(
        0.0,
        "Share of the neurons of a layer, chosen at random for each training sample, that do not fire in its phases; "
        "what the others send counts more in turn.",
        low=0,
        high=0.9,
        later=True,
    )
    dropout_units: str = option(
        "neurons",
        "What is dropped of a map: single neurons, or whole channels.",
        choices=("neurons", "channels"),
        later=True,
    )
    dropout_layers: tuple[str, ...] = option(
        (), "Names of the layers with dropped neurons, as `conv2`; by default all.", later=True
    )
    calibration_samples: int = option(64, "Training samples on which the biases are calibrated.", low=1, high=4096)
    global_pooling: str = option(
        "auto",
        "What the read-out and the heads of the layers read from a map: each position (none), or of each channel the "
        "mean over all valid positions, or the maximum. auto is the mean for series and texts and none for others.",
        choices=("auto", "none", "mean", "maximum"),
        later=True,
    )
    neuron: str = option(
        "clipped-linear",
        "Model of the neurons, which fire with probability clip(V, 0, 1); refractory ones not in the `refractory` "
        f"steps after a spike. They need `dynamics.firing` = iid (`{manual('own-neuron')}`).",
        choices=("clipped-linear", "refractory"),
        later=True,
    )
    refractory: int | None = option(
        None,
        "Steps after a spike in which a refractory neuron does not fire.",
        low=1,
        high=64,
        optional=True,
        later=True,
    )
    weights: str = option(
        "",
        "Run file whose weights the training starts from, `RUN.h5` or `RUN.h5:best`, instead of random ones "
        "(`spikesim manual transfer`). The run file stores their SHA-256 instead; `spikesim import` sets it as well.",
    )
