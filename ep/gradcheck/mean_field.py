"""The mean field of a network in float64: its energy function, its cost and its fixed points, with NumPy alone.

    E(p) = sum_l g_l ( sum 1/2 p_l^2 - <b_l, p_l> - <W_l * Pool(p_{l-1}), p_l> ),      g_l = gamma^(l - L)

L being the level of the layer (`spikesim.ep.network.graph`), and with a term of the third kind for each connection. It
describes the same network as the engine, with the quantized weights and biases that the engine has, but shares no
code with it: it is what the engine's gradients are checked against. Without a feedback gain gamma all g_l are 1. No
layer drives itself, and given its neighbours a layer has its energy's only minimum in the box 0 <= p <= 1 at
``clip(drive, 0, 1)``. Visiting the layers one after the other therefore lowers E at every visit and ends at a fixed
point however strong the coupling is, where updating all at once may oscillate. Going beyond that minimum by a factor
below 2 still lowers E and arrives much sooner where the coupling is strong (projected successive over-relaxation;
C. W. Cryer, SIAM RunStore on Control 9, 1971).

With neurons of another mean rate rho(u) than clip(u, 0, 1) the term 1/2 p^2 is the integral of the inverse of rho, and
a visit ends at the layer's own minimum, rho(u); it goes no further, for the way beyond is not that of a parabola.
`MeanField.energy` has the term of the clipped linear neuron.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.neurons import CLIPPED_LINEAR, NEURONS, Neuron
from spikesim.engine.synapses import Shape
from spikesim.ep.config.layer_rows import INPUT
from spikesim.ep.network.linear_head import HeadMap
from spikesim.ep.network.linear_map import Link
from spikesim.ep.network.model import Model
from spikesim.numerics.fixed_point import INPUT_BITS, ONE

Reals = NDArray[np.float64]

TOLERANCE = 1e-10
SWEEPS_MAX = 300


def relaxation(sweep: int) -> float:
    """How far a visit moves, in units of the way to the layer's own minimum: further if the coupling proves strong."""
    return 1.3 if sweep < 50 else 1.8


@dataclass(frozen=True, eq=False)
class LinearHead(HeadMap):
    """A head and its cost (`spikesim.ep.network.heads`).

    Attributes
    ----------
    strength : float
        lambda, of its nudge.
    soft : float
        Weight of the teacher; the labels have the rest.
    temperature : float
    squared : bool
        Half the squared error in place of the cross-entropy.
    """

    strength: float = 1.0
    soft: float = 0.0
    temperature: float = 1.0
    squared: bool = False

    def errors(self, logits: Reals, inputs: "Inputs") -> Reals:
        """-dC/do, (n, classes)."""
        if self.squared:
            return inputs.answers - logits
        errors = (1.0 - self.soft) * (inputs.answers - np.exp(log_softmax(logits)))
        if self.soft > 0 and inputs.targets is not None:
            softened = np.exp(log_softmax(logits / self.temperature))
            errors = errors + self.soft * self.temperature * (inputs.targets - softened)
        return errors

    def costs(self, logits: Reals, inputs: "Inputs") -> Reals:
        """C of each sample, (n,)."""
        if self.squared:
            return np.asarray(0.5 * ((inputs.answers - logits) ** 2).sum(axis=1))
        costs = -(1.0 - self.soft) * (inputs.answers * log_softmax(logits)).sum(axis=1)
        if self.soft > 0 and inputs.targets is not None:
            teacher = inputs.targets
            entropy = np.where(teacher > 0, teacher * np.log(np.maximum(teacher, 1e-300)), 0.0)
            divergence = (entropy - teacher * log_softmax(logits / self.temperature)).sum(axis=1)
            costs = costs + self.soft * self.temperature**2 * divergence
        return np.asarray(costs)


def log_softmax(logits: Reals) -> Reals:
    """Logarithm of softmax, (n, classes)."""
    lowered = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True)))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples as the mean field sees them.

    Attributes
    ----------
    images : float64 (n, H, W, C)
    answers : float64 (n, classes)
        1 at the label.
    targets : float64 (n, classes) or None
        The teacher's softmax(t / tau).
    extents : int64 (n, L) or None
        Columns of the map of each layer that exist; all of them without.
    """

    images: Reals
    answers: Reals
    targets: Reals | None = None
    extents: NDArray[np.int64] | None = None

    @classmethod
    def prepare(
        cls,
        images: NDArray[np.int16] | NDArray[np.int32],
        labels: NDArray[np.int64],
        classes: int,
        targets: Reals | None = None,
        extents: NDArray[np.int64] | None = None,
    ) -> "Inputs":
        """From what the engine is given: int16 images, 1.0 = 2**12, or int32 tokens, and labels (n,)."""
        unit = 1.0 if images.dtype == np.int32 else float(1 << INPUT_BITS)
        return cls(images / unit, np.eye(classes)[labels], targets, extents)

    def part(self, samples: slice) -> "Inputs":
        """Some of the samples."""
        targets = None if self.targets is None else self.targets[samples]
        return Inputs(
            self.images[samples],
            self.answers[samples],
            targets,
            None if self.extents is None else self.extents[samples],
        )

    def mask(self, layer: int, width: int) -> Reals:
        """1 for the columns of a layer of this width that exist, else 0, float64 (n, 1, W, 1)."""
        if self.extents is None:
            return np.ones((len(self.images), 1, width, 1))
        there = np.arange(width) < self.extents[:, layer, None]
        return there.astype(np.float64)[:, None, :, None]


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Where the dynamics came to rest.

    Attributes
    ----------
    rates : float64 (n, H, W, C), one per layer
        p.
    drives : the same
        u at these p.
    residual : float64 (L,)
        Largest |p - clip(u, 0, 1)| of each layer, or with another rate than clip, that.
    sweeps : int
        Visits of all layers.
    """

    rates: list[Reals]
    drives: list[Reals]
    residual: Reals
    sweeps: int


@dataclass(frozen=True, eq=False)
class Path:
    """A connection of the mean field.

    Attributes
    ----------
    source, target : int
        Indices of layers; the source may be `INPUT`.
    link : Link
    gain, error_gain : float
        On feedback, and on errors where the feedforward drive is clamped: a power for each level that it spans.
    """

    source: int
    target: int
    link: Link
    gain: float
    error_gain: float


@dataclass(frozen=True, eq=False)
class MeanField:
    """A graph of layers with heads.

    Attributes
    ----------
    names : names of the layers, each after those that drive it
    shapes : of the layers
    levels : of the layers (`spikesim.ep.network.graph`)
    paths : tuple of Path
        The connections, by target.
    biases : one per layer, float64 (C,)
    heads : tuple of LinearHead
    readout : int
        Which of the heads is the read-out.
    gain : float
        gamma, on feedback, a level.
    clamped : bool
        Whether the feedforward drive is clamped in the nudged phases (`spikesim.ep.phases.nudged.clamped_drive`).
    neuron : Neuron
        Model of the neurons.
    refractory : int
        Its setting.
    """

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    levels: tuple[int, ...]
    paths: tuple[Path, ...]
    biases: tuple[Reals, ...]
    heads: tuple[LinearHead, ...]
    readout: int
    gain: float = 1.0
    clamped: bool = False
    neuron: Neuron = CLIPPED_LINEAR
    refractory: int = 0

    @classmethod
    def from_model(cls, model: Model, strengths: Sequence[float]) -> "MeanField":
        """The mean field of a model as it is loaded; `strengths`: lambda of each head."""
        graph, biases = model.graph, []
        for population in graph.populations:
            at = int(model.compiled.plan.populations[population.index].bias)
            biases.append(model.compiled.plan.bias[at : at + population.shape[2]] / float(ONE))
        paths = tuple(
            Path(
                source=edge.source,
                target=edge.target,
                link=Link.of(edge.connection),
                gain=model.gain_of_feedback(edge),
                error_gain=1.0 if model.clamped is None else model.clamped.gain(edge),
            )
            for edge in graph.edges
        )
        return cls(
            names=model.names,
            shapes=tuple(population.shape for population in graph.populations),
            levels=graph.levels,
            paths=paths,
            biases=tuple(biases),
            heads=tuple(_linear_head(model, index, strength) for index, strength in enumerate(strengths)),
            readout=model.readout,
            gain=model.feedback_gain,
            clamped=model.clamped is not None,
            neuron=NEURONS[graph.populations[0].neuron],
            refractory=graph.populations[0].refractory,
        )

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.shapes)

    def into(self, layer: int) -> list[Path]:
        """The connections into a layer."""
        return [path for path in self.paths if path.target == layer]

    def out_of(self, layer: int) -> list[Path]:
        """The connections from a layer to others."""
        return [path for path in self.paths if path.source == layer]

    def weight(self, layer: int) -> float:
        """g of a layer: its weight in the energy function, 1 for the top one."""
        return self.gain ** (self.levels[layer] - max(self.levels))

    def cost_weight(self, layer: int) -> float:
        """What a nudge of strength 1 on the drive of a layer weighs its cost with.

        A layer that weighs g in the energy function answers to it as to a cost of weight g. With clamped drives there
        are only drives and errors, and the weight is 1.
        """
        return 1.0 if self.clamped else self.weight(layer)

    def rate(self, drive: Reals) -> Reals:
        """Mean rate of neurons with this drive."""
        return self.neuron.rate(drive, self.refractory)

    def slope(self, drive: Reals) -> Reals:
        """Its derivative."""
        return self.neuron.slope(drive, self.refractory)

    def images(self, inputs: Inputs) -> list[Reals | None]:
        """What each layer receives from the samples themselves; None where it sees none of them."""
        drives: list[Reals | None] = [None] * self.layers
        for path in self.paths:
            if path.source == INPUT:
                drives[path.target] = path.link.up(inputs.images)
        return drives

    def drive(self, layer: int, rates: list[Reals], images: list[Reals | None], inputs: Inputs, beta: float) -> Reals:
        """u of a layer with everything as it is; `images`: what the layers receive from the samples."""
        drive = self.biases[layer] + np.zeros(rates[layer].shape)
        for path in self.into(layer):
            sent = images[layer] if path.source == INPUT else path.link.up(rates[path.source])
            assert sent is not None
            drive = drive + sent
        for path in self.out_of(layer):
            drive += path.gain * path.link.selecting(rates[layer]).down(rates[path.target])
        if beta:
            drive += beta * self.push(layer, rates[layer], inputs)
        return drive

    def push(self, layer: int, rates: Reals, inputs: Inputs) -> Reals:
        """The nudge of a layer at beta 1, (n, H, W, C): the sum over its heads of ``lambda (-dC/dp)``."""
        push, mask = np.zeros(rates.shape), self.mask(layer, inputs)
        for head in self.heads:
            if head.layer == layer:
                errors = head.errors(head.logits(rates, mask), inputs)
                push += head.strength * head.push(errors, rates, mask)
        return push

    def mask(self, layer: int, inputs: Inputs) -> Reals:
        """1 where a neuron of a layer exists, else 0, (n, 1, W, 1)."""
        return inputs.mask(layer, self.shapes[layer][1])

    def settle(
        self,
        inputs: Inputs,
        start: list[Reals] | None = None,
        beta: float = 0.0,
        *,
        tolerance: float = TOLERANCE,
        sweeps_max: int = SWEEPS_MAX,
    ) -> FixedPoint:
        """Visit the layers in turn, ``p = clip(p + omega (u - p), 0, 1)``, until no p moves by more than the tolerance.

        Neurons that are not linear between 0 and 1 take on the rate of their drive, omega = 1.

        Parameters
        ----------
        start : one per layer, optional
            p to start from; by default rest, p = 0.
        beta : float
            Strength of the nudge, with its sign; 0 for the free phase.
        """
        images = self.images(inputs)
        n, masks = len(inputs.images), [self.mask(layer, inputs) for layer in range(self.layers)]
        rates = [np.zeros((n, *shape)) for shape in self.shapes] if start is None else list(start)
        sweeps, moved = 0, np.inf
        while moved > tolerance and sweeps < sweeps_max:
            moved = 0.0
            for layer in range(self.layers):
                drive = self.drive(layer, rates, images, inputs, beta)
                if self.neuron.linear:
                    drive = rates[layer] + relaxation(sweeps) * (drive - rates[layer])
                new = self.rate(drive) * masks[layer]
                moved = max(moved, float(np.abs(new - rates[layer]).max(initial=0.0)))
                rates[layer] = new
            sweeps += 1
        drives = [self.drive(layer, rates, images, inputs, beta) for layer in range(self.layers)]
        distances = [np.abs(rate - self.rate(u) * own).max() for rate, u, own in zip(rates, drives, masks, strict=True)]
        return FixedPoint(rates, drives, np.array(distances), sweeps)

    def answer(
        self,
        inputs: Inputs,
        free: "FixedPoint",
        beta: float,
        *,
        tolerance: float = TOLERANCE,
        sweeps_max: int = SWEEPS_MAX,
    ) -> "FixedPoint":
        """The fixed point of a nudged phase, from that of the free phase."""
        if not self.clamped:
            return self.settle(inputs, free.rates, beta, tolerance=tolerance, sweeps_max=sweeps_max)
        rates, drives = list(free.rates), list(free.drives)
        masks = [self.mask(layer, inputs) for layer in range(self.layers)]
        sweeps, moved = 0, np.inf
        while moved > tolerance and sweeps < sweeps_max:
            moved = 0.0
            for layer in reversed(range(self.layers)):
                drive = free.drives[layer] + beta * self.push(layer, rates[layer], inputs)
                for path in self.out_of(layer):
                    deviation = rates[path.target] - free.rates[path.target]
                    drive = drive + path.error_gain * path.link.selecting(free.rates[layer]).down(deviation)
                new = self.rate(drive) * masks[layer]
                moved = max(moved, float(np.abs(new - rates[layer]).max(initial=0.0)))
                rates[layer], drives[layer] = new, drive
            sweeps += 1
        return FixedPoint(rates, drives, np.full(self.layers, moved), sweeps)

    def cost(self, rates: list[Reals], inputs: Inputs) -> Reals:
        """What equilibrium propagation descends, of each sample, (n,): the costs of all heads, times lambda and their
        weight (`cost_weight`)."""
        total = np.zeros(len(inputs.images))
        for head in self.heads:
            costs = head.costs(head.logits(rates[head.layer], self.mask(head.layer, inputs)), inputs)
            total += head.strength * self.cost_weight(head.layer) * costs
        return total

    def readout_cost(self, rates: list[Reals], inputs: Inputs) -> Reals:
        """C of the read-out, of each sample, (n,)."""
        head = self.heads[self.readout]
        return head.costs(head.logits(rates[head.layer], self.mask(head.layer, inputs)), inputs)

    def energy(self, rates: list[Reals], inputs: Inputs) -> Reals:
        """E of each sample, (n,)."""
        total = np.zeros(len(inputs.images))
        for layer in range(self.layers):
            drive = self.biases[layer]
            for path in self.into(layer):
                drive = drive + path.link.up(inputs.images if path.source == INPUT else rates[path.source])
            terms = 0.5 * rates[layer] ** 2 - drive * rates[layer]
            total += self.weight(layer) * terms.sum(axis=(1, 2, 3))
        return total


def _linear_head(model: Model, index: int, strength: float) -> LinearHead:
    """A head as it is quantized in the model."""
    packed = model.packed
    return LinearHead(
        **vars(HeadMap.of(model, index)),
        strength=float(strength),
        soft=float(packed.soft[index]) / packed.temperature,
        temperature=packed.temperature,
        squared=bool(packed.table[index].squared),
    )
