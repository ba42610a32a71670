"""Sections "Clamped drives", "Live drives" and "Both": from the means of the phases to the next weights."""

import numpy as np
from by_the_manual import integers as it
from by_the_manual import network as nt
from by_the_manual.chance import initial_weights
from by_the_manual.dynamics import Network, Parameters, Settings, Window
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Contrast:
    """The gradients of the layers from the windows of the phases.

    Parameters
    ----------
    images : int64 (n, H, W, C)
        Normalized.
    rest, plus, minus : Window
        Of the three phases; one of the last two is empty where there is one nudged phase.
    """

    def __init__(
        self, layers: list[nt.Layer], settings: Settings, images: Integers, rest: Window, plus: Window, minus: Window
    ) -> None:
        self.layers, self.settings, self.images = layers, settings, images
        self.rest, self.plus, self.minus = rest, plus, minus
        self.nudged = plus if plus.length else minus

    @follows(
        r"""
        and the contrast is that of its deviations $d = p - r$, summed over its window, divided by $\beta$ with that
        sign instead of $2 \beta$.
        """,
    )
    def difference(self, layer: int) -> Integers:
        """Sums of r+ - r-, or of d."""
        if self.settings["nudging"] == "deviation":
            length = self.rest.length
            rates = np.minimum((self.rest.sums[layer] + length // 2) // length, it.P_MAX)
            return self.nudged.sums[layer] - rates * self.nudged.length
        return self.plus.sums[layer] - self.minus.sums[layer]

    @property
    def nudges(self) -> float:
        """2 beta, or beta with the sign of the only nudge."""
        beta = self.settings["beta"]
        if self.settings["nudging"] == "deviation":
            return beta if self.plus.length else -beta
        return 2 * beta

    @follows(
        r"""
        \partial C / \partial W_l &= - d_l \otimes \mathrm{Pool}(r_{l-1}) / (2 \beta), \qquad \partial C / \partial
        b_l = - d_l / (2 \beta)
        """,
        r"""
        \partial C / \partial W_l &= - ( r_+^l - r_-^l ) \otimes \mathrm{Pool}( r_+^{l-1} + r_-^{l-1} ) / (4 \beta) &&
        \text{(}l = 1\text{: }x\text{ instead of }\mathrm{Pool}(r^0)\text{)} \\ \partial C / \partial b_l &= - (
        r_+^l - r_-^l ) / (2 \beta)
        """,
        r"""
        \partial C / \partial W_l = - \bigl( r_+^l \otimes \mathrm{Pool}(r_+^{l-1}) - r_-^l \otimes
        \mathrm{Pool}(r_-^{l-1}) \bigr) / (2 \beta)
        """,
        "The contrast is summed over the positions of a convolution, averaged over the mini-batch.",
    )
    def of(self, layer: int) -> tuple[Floats, Floats]:
        """Gradients of a layer's weights and biases."""
        settings, own = self.settings, self.layers[layer]
        difference, window = self.difference(layer), self.nudged.length
        if layer == 0:
            products = own.products(difference, self.images.reshape(len(difference), -1)) / (4096 * it.ONE * window)
        elif settings["nudged_phase"] != "live-spikes":
            products = own.products(difference, below(self.rest, layer)) / self.unit(layer, self.rest.length)
        elif settings["rule"] == "postsynaptic":
            both = below(self.plus, layer) + below(self.minus, layer)
            products = own.products(difference, both) / self.unit(layer, 2 * window)
        else:
            first = own.products(self.plus.sums[layer], below(self.plus, layer))
            second = own.products(self.minus.sums[layer], below(self.minus, layer))
            products = (first - second) / self.unit(layer, window)
        strength = self.nudges * len(difference) * self.weight_of_layer(layer)
        channels = difference.reshape(-1, own.shape[2]).sum(axis=0)
        bias = -(channels / (it.ONE * window)) / strength
        return (-products / strength).astype(np.float32), bias.astype(np.float32)

    def unit(self, layer: int, steps: int) -> float:
        """1.0 of a product of sums over windows, the presynaptic one of so many steps."""
        return unit_below(self.rest.network, layer, steps) * (it.ONE * self.nudged.length)

    @follows(r"the contrast of layer $l$ is divided by $\gamma^{L-l}$,")
    def weight_of_layer(self, layer: int) -> float:
        """What the strength of the nudge comes to in a layer."""
        if self.settings["nudged_phase"] != "live-spikes":
            return 1.0
        return self.settings["feedback_gain"] ** (len(self.layers) - 1 - layer)

    def rate_difference(self) -> Reals:
        """Mean |r+ - r-| of each layer."""
        apart = [np.abs(self.difference(layer)) for layer in range(len(self.layers))]
        return np.array([own.sum() / (it.ONE * self.nudged.length * own.size) for own in apart])


@follows(
    r"""
    The weights learn in centered form (`optimizer.centering`, `ep/gradients/centering.py`), but for those of the
    first layer, which see an image: with $m$ the mean rate that a weight sees in the free phase, over the mini-batch
    and the positions of the target (padding counts as 0), $dW$ is taken without $m \otimes db$, $db$ the sum over all
    positions.
    """,
)
def centered(weight: Floats, bias: Floats, mean: Floats) -> Floats:
    """The gradient of weights (.., Cin, Cout) without the common component; mean: (.., Cin)."""
    return weight - mean[..., None] * bias


def seen_by_weights(layer: nt.Layer, sums: Integers, unit: float) -> Floats:
    """Mean rate that each weight into a channel sees, (.., Cin); sums: what the layer reads, by sample, 1.0 = unit."""
    of_first = layer.weight % layer.weight_shape[-1] == 0  # every channel of the layer sees the same
    read = sums.sum(axis=0)[layer.source[of_first]]
    totals = np.bincount(layer.weight[of_first] // layer.weight_shape[-1], weights=read, minlength=layer.fan_in)
    positions = len(sums) * layer.shape[0] * layer.shape[1]
    return (totals / (unit * positions)).astype(np.float32).reshape(layer.weight_shape[:-1])


def below(window: Window, layer: int) -> Integers:
    """Four times Pool(r) where there is an average pool, else Pool(r) or r, in sums over a window."""
    network, own = window.network, window.network.layers[layer - 1]
    if network.winning(layer - 1):
        return window.passed[layer - 1]
    sums = window.sums[layer - 1]
    return nt.four_cells(sums, own.shape).sum(axis=1) if own.pool else sums


def unit_below(network: Network, layer: int, steps: int) -> float:
    """1.0 of what a layer reads, in sums over so many steps."""
    four = network.layers[layer - 1].pool and not network.winning(layer - 1)
    return float(it.ONE * steps * (4 if four else 1))


@follows(
    r"""
    After the optimizer's step the bias is corrected by what the change of $W$ adds to the mean drive, $\sum m\, dW$
    with the $dW$ that the step made, products in float32 and their sum in float64; then homeostasis moves it.
    """,
)
def given_back(before: Floats, after: Floats, mean: Floats) -> Floats:
    """What the bias gives back, (Cout,)."""
    change = ((after - before) * mean[..., None]).reshape(-1, after.shape[-1])
    return change.astype(np.float64).cumsum(axis=0)[-1].astype(np.float32)


@follows(
    r"""
    Initial weights are uniform with standard deviation $\mathrm{gain} / \sqrt{\text{fan-in}}$: `model.first_gain` in
    the first layer, `model.gain` in the second, and from there growing from layer to layer (`model.gain_growth`);
    `model.readout_gain` in the read-out and the heads. Biases begin at 0.
    """,
)
def initial(
    layers: list[nt.Layer], sides: dict[str, tuple[int, int]], classes: int, model: Settings, seed: int, *, fixed: bool
) -> tuple[Parameters, dict[str, float]]:
    """Parameters before the calibration, and the standard deviation of each layer's weights."""
    gains = [model["first_gain"], *(model["gain"] * model["gain_growth"] ** n for n in range(len(layers) - 1))]
    deviations = {layer.name: gain / np.sqrt(layer.fan_in) for layer, gain in zip(layers, gains, strict=True)}
    found = Parameters({}, {})
    for number, layer in enumerate(layers):
        found.weights[layer.name] = initial_weights(layer.weight_shape, deviations[layer.name], seed, number)
        found.biases[layer.name] = np.zeros(layer.shape[2], np.float32)
    for name, (layer, side) in sides.items():
        height, width, channels = layers[layer].shape
        features = (height // side) * (width // side) * channels
        number = len(layers) + (0 if name == "readout" else layer + 1)
        deviation = model["readout_gain"] / np.sqrt(features)
        found.weights[name] = initial_weights((features, classes), deviation, seed, number)
        if fixed and name != "readout":
            found.weights[name] = square_waves(features, classes, deviation)
        found.biases[name] = np.zeros(classes, np.float32)
    return found, deviations


@follows(
    r"""
    $A$ is then `model.readout_gain` $/ \sqrt{F}$ times $(-1)^{\lfloor 2 i (c + 1) / F \rfloor}$ for class $c$ and
    feature $i$ of $F$, both from 0: square waves, as in [22].
    """,
)
def square_waves(features: int, classes: int, deviation: float) -> Floats:
    """Weights of a fixed head."""
    periods = np.arange(features)[:, None] * (np.arange(classes) + 1)
    return (deviation * (1 - 2 * (2 * periods // features % 2))).astype(np.float32)


@follows(
    """
    The learning rate of a layer's weights is in units of that standard deviation (`optimizer.learning_rate`), so that
    one value suits layers of any fan-in. That of a layer's biases is not: it is `optimizer.bias_factor` times
    `optimizer.learning_rate` itself. Read-out and heads have `optimizer.readout_learning_rate` and
    `error_signals.learning_rate`, for weights and biases.
    """,
)
def learning_rates(
    deviations: dict[str, float], names: list[str], optimizer: Settings, heads: float | None
) -> dict[str, float]:
    """Learning rates of the arrays of parameters, before the schedule; heads: that of the heads, if it is set."""
    rates = {}
    for name in names:
        if name in deviations:
            rates[f"{name}/weight"] = optimizer["learning_rate"] * deviations[name]
            rates[f"{name}/bias"] = rates[f"{name}/gain"] = optimizer["learning_rate"] * optimizer["bias_factor"]
        else:
            rate = optimizer["readout_learning_rate"] if name == "readout" or heads is None else heads
            rates[f"{name}/weight"] = rates[f"{name}/bias"] = rate
    return rates


@follows(
    r"$g$ the gradient and $f$ the factor of the schedule on the learning rate $\rho$:",
    r"""
    \text{Adam} && m &\leftarrow m + (1 - \beta_1) (g - m), \qquad v \leftarrow v + (1 - \beta_2) (g^2 - v) \\
    && w &\leftarrow w - f \rho \left( \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} +
    \mathrm{decay}\; w \right) \\
    \text{SGD} && m &\leftarrow \mathrm{momentum}\; m + g + \mathrm{decay}\; w, \qquad w \leftarrow w - f \rho m \\
    """,
    r"""
    $t$ counts the mini-batches from 1. Everything is float32; $1 - \beta$ is taken in float32, $1 - \beta^t$ in
    float64 and then rounded: two precisions, by which a step is 6e-6 off.
    """,
)
class Optimizer:
    """Moves arrays of parameters, by name."""

    def __init__(self, settings: Settings, rates: dict[str, float]) -> None:
        self.settings, self.rates, self.t = settings, rates, 0
        self.moments: dict[str, list[Floats]] = {}

    def change(self, name: str, value: Floats, gradient: Floats, factor: float) -> Floats:
        """What is added to an array in mini-batch `t`; biases do not decay."""
        one, settings = np.float32(1), self.settings
        decay = np.float32(settings["weight_decay"] if name.endswith("/weight") else 0)
        rate = np.float32(self.rates[name] * factor)
        first, second = self.moments.setdefault(name, [np.zeros_like(gradient), np.zeros_like(gradient)])
        if settings["name"] == "sgd":
            first[...] = np.float32(settings["momentum"]) * first + (gradient + decay * value)
            return -rate * first
        beta1, beta2 = np.float32(settings["beta1"]), np.float32(settings["beta2"])
        first += (one - beta1) * (gradient - first)
        second += (one - beta2) * (gradient * gradient - second)
        bias1, bias2 = (np.float32(1 - settings[beta] ** self.t) for beta in ("beta1", "beta2"))
        step = (first / bias1) / (np.sqrt(second / bias2) + np.float32(settings["epsilon"]))
        return -rate * (step + decay * value)


@follows(
    r"""
    \text{cosine} && f &= \mathrm{final} + (1 - \mathrm{final}) (1 + \cos(\pi\, \mathrm{progress})) / 2 with progress
    = mini-batches done / mini-batches of the run, 0 in the first.
    """,
)
def schedule(progress: float, optimizer: Settings) -> float:
    """Factor on the learning rates; progress: share of the training that is done."""
    if optimizer["schedule"] == "constant":
        return 1.0
    final = optimizer["final_factor"]
    return float(final + (1 - final) * (1 + np.cos(np.pi * progress)) / 2)
