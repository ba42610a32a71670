"""Sections "Read-out and cost" and "Intermediate error signals"."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from by_the_manual import integers as it
from by_the_manual.dynamics import Parameters
from by_the_manual.integers import Integers, Reals
from by_the_manual.network import Layer
from by_the_manual.page import follows


@follows(
    "Heads and the read-out take averages whatever the pooling.",
    r"""
    The last layer is read outside the dynamics (`ep/network/heads.py`): $o = A \mathrm{Pool}(r) + c$, $r$ the mean of
    $p$ over the window of the free phase (`dynamics.window_free`).
    """,
    "$A$ is rounded to int16 like a table of weights, $c$ is not rounded;",
)
@dataclass
class Head:
    """The read-out, or the head of a layer.

    Attributes
    ----------
    layer : int
        Which it reads, from 0.
    side : int
        Of the blocks of neurons that it sums.
    weights, exponent : int64 (features, classes) and int
        A.
    bias : float64 (classes,)
        c.
    squared : bool
        Whether its cost is the squared error.
    """

    name: str
    layer: int
    of: Layer
    side: int
    weights: Integers
    exponent: int
    bias: Reals
    squared: bool = False

    @property
    @follows(
        r"""
        With `error_signals.kind` other than `none`, layers below the top have *heads* (`ep/network/heads.py`,
        `ep/network/error_signals.py`): linear softmax classifiers like the read-out, on the firing probabilities
        summed over square blocks, times $2^{-\lfloor \log_2 \mathrm{cells} \rfloor}$, so that the adjoint is exact.
        """,
    )
    def shift(self) -> int:
        """A sum over a block counts 2**-shift."""
        return int(np.floor(np.log2(self.side**2)))

    def features(self, values: Integers) -> Integers:
        """Sums over the blocks, (n, neurons) to (n, features); features in the order row, column, channel."""
        height, width, channels = self.of.shape
        rows, columns, side = height // self.side, width // self.side, self.side
        maps = values.reshape(-1, height, width, channels)[:, : rows * side, : columns * side]
        blocks = maps.reshape(-1, rows, side, columns, side, channels).sum(axis=(2, 4))
        return blocks.reshape(len(values), -1)

    def spread(self, values: Integers) -> Integers:
        """The transpose of `features`."""
        height, width, channels = self.of.shape
        rows, columns, side = height // self.side, width // self.side, self.side
        maps = np.zeros((len(values), height, width, channels), np.int64)
        blocks = values.reshape(-1, rows, columns, channels)
        maps[:, : rows * side, : columns * side] = blocks.repeat(side, axis=1).repeat(side, axis=2)
        return maps.reshape(len(values), -1)

    def logits(self, features: Integers, steps: int = 1) -> Reals:
        """o of sums over so many steps."""
        unit = it.ONE * steps * 2.0 ** (self.shift + self.exponent)
        return features @ self.weights / unit + self.bias

    @follows(r"The cost $C$ is the cross-entropy of $\mathrm{softmax}(o)$, or $\frac{1}{2} |y - o|^2$.")
    def losses(self, logits: Reals, labels: Integers) -> Reals:
        """C of each sample."""
        if self.squared:
            return (self.errors(logits, labels) ** 2).sum(axis=1) / 2
        largest = logits.max(axis=1)
        log_sum = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
        return log_sum - logits[np.arange(len(labels)), labels]

    def errors(self, logits: Reals, labels: Integers) -> Reals:
        """-dC/do: y - softmax(o), or y - o."""
        return np.eye(logits.shape[1])[labels] - (logits if self.squared else softmax(logits))

    @follows(
        r"""
        In a nudged phase the last layer receives \mathrm{nudge}_t = \pm\beta\, \mathrm{Pool}^T\bigl(
        A^T (y - \mathrm{softmax}(o_t)) \bigr) \qquad \text{(squared error: } y - o_t \text{)} taken anew
        before each step from the present $p$ (or its low pass, `dynamics.trace_leak`) [2].
        """,
        r"""
        In a nudge $\beta (y - \mathrm{softmax}(o))$ is rounded to $2^{-16}$, and its product with $A^T$
        again, halves up.
        """,
        r"""
        and each head nudges its own layer in the nudged phases,
        $\beta \lambda_l \mathrm{Blocks}^T(A_l^T (-\partial C_l/\partial o))$;
        """,
        r"""
        Here too $\beta \lambda_l (-\partial C_l/\partial o)$ is rounded to $2^{-16}$, and what goes through
        $A_l^T$ again, halves up.
        """,
    )
    def nudge(self, features: Integers, labels: Integers, strength: float) -> Integers:
        """The nudge of its layer, (n, neurons); strength: beta with its sign, times that of the head."""
        push = rounded(strength * self.errors(self.logits(features), labels))
        return self.spread(it.scaled(push @ self.weights.T, self.exponent + self.shift))


def softmax(logits: Reals) -> Reals:
    """Of each row."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@follows(
    r"""
    $A$ and $c$ follow the delta rule on the free phase,
    $\partial C/\partial A = -(y - \mathrm{softmax}(o)) \otimes \mathrm{Pool}(r)$,
    $\partial C/\partial c = -(y - \mathrm{softmax}(o))$, averaged over the mini-batch.
    """,
    "the delta rule takes the error rounded to $2^{-16}$.",
    "Its weights follow their own delta rule on the free phase,",
)
def delta_rule(head: Head, sums: Integers, steps: int, labels: Integers) -> tuple[Any, Any]:
    """Gradients of a head's cost in its weights and biases, float32, from sums of p over the window."""
    features = head.features(sums)
    errors = rounded(head.errors(head.logits(features, steps), labels))
    unit = it.ONE * steps * 2.0**head.shift * it.ONE * len(labels)
    weights = -(features.T @ errors) / unit
    return weights.astype(np.float32), (-errors.sum(axis=0) / (it.ONE * len(labels))).astype(np.float32)


@follows(r"Either is cut off at $\pm 64$, which only squared errors reach.")
def rounded(errors: Reals) -> Integers:
    """Errors in units of 2**-16."""
    return np.rint(np.clip(errors, -64, 64) * it.ONE).astype(np.int64)


@follows(
    """
    A head reads its layer before the pool. The blocks are the smallest squares that divide both sides of the map and
    leave at most `error_signals.grid` a side; where none does, the largest that divide both.
    """,
)
def block_side(layer: Layer, grid: int) -> int:
    """Side of the blocks of the head of a layer."""
    height, width, _ = layer.shape
    sides = [side for side in range(1, min(height, width) + 1) if height % side == 0 and width % side == 0]
    fine = [side for side in sides if max(height, width) // side <= grid]
    return fine[0] if fine else sides[-1]


def sides_of_heads(layers: list[Layer], grid: int) -> dict[str, tuple[int, int]]:
    """Layer and side of the blocks of each head, by name, lowest first, and the read-out, which sees Pool(r), last."""
    found = {f"head{layer + 1}": (layer, block_side(layers[layer], grid)) for layer in range(len(layers) - 1)}
    found["readout"] = (len(layers) - 1, 2 if layers[-1].pool else 1)
    return found


def make_heads(layers: list[Layer], sides: dict[str, tuple[int, int]], parameters: Parameters, cost: str) -> list[Head]:
    """Heads with their weights as integers; cost: of the read-out."""
    made = []
    for name, (layer, side) in sides.items():
        weights, exponent = it.quantized(parameters.weights[name])
        bias = parameters.biases[name].astype(np.float64)
        squared = name == "readout" and cost == "squared-error"
        made.append(Head(name, layer, layers[layer], side, weights, exponent, bias, squared))
    return made


@follows(
    r"""
    The prediction combines the read-out and the heads of the upper half of the layers, those with $2 l > L$: its
    logits are the mean of their $\log\, \mathrm{softmax}(o)$, a product of experts [24]. The loss that reports show is
    the cross-entropy of these.
    """,
    """
    With `error_signals.answer = "readout"`, without heads, or with a squared error, the prediction is that of the
    read-out alone, and its cost is the loss.
    """,
)
def answer(heads: list[Head], layers: int, alone: bool, logits: list[Reals], labels: Integers) -> tuple[float, int]:
    """The mean loss of the network's answer, and how many of its answers are right.

    layers: L; alone: whether the read-out, the last head, shall answer alone; logits: of each head.
    """
    if alone or heads[-1].squared:
        return heads[-1].losses(logits[-1], labels).mean(), int((logits[-1].argmax(axis=1) == labels).sum())
    upper = [own for head, own in zip(heads, logits, strict=True) if 2 * (head.layer + 1) > layers]
    together = np.mean([np.log(softmax(own)) for own in upper], axis=0)
    losses = -np.log(softmax(together)[np.arange(len(labels)), labels])
    return losses.mean(), int((together.argmax(axis=1) == labels).sum())


@follows(
    r"""
    $\lambda$ is `error_signals.strength`, one value or one per layer; `error_signals.profile` makes it geometric in
    depth, $\mathrm{ratio}^{L-l}$ times as strong in layer $l$ (`error_signals.ratio`),
    """,
    r"""
    `error_signals.schedule = "annealed"` takes it to zero at the end of the training: once a share $a$ of it is done
    (`error_signals.anneal_from`), $\lambda$ counts $(1 - \mathrm{progress}) / (1 - a)$ times.
    """,
)
def strengths(heads: list[Head], signals: dict[str, Any], progress: float) -> Reals:
    """lambda of each head, 1 for the read-out."""
    top, a, found = heads[-1].layer, signals["anneal_from"], []
    falling = signals["schedule"] == "annealed" and progress > a
    for head in heads[:-1]:
        given = signals["strength"][head.layer] if isinstance(signals["strength"], list) else signals["strength"]
        depth = signals["ratio"] ** (top - head.layer) if signals["profile"] == "geometric" else 1.0
        found.append(given * depth * ((1 - progress) / (1 - a) if falling else 1.0))
    return np.array([*found, 1.0])
