"""Two gradients of the mean field's cost at its fixed point, in float64: the exact one, and equilibrium propagation's.

*Exact*: with J the derivative of the drives u in p and D that of p in u, of clipped linear neurons 1 for those that are
strictly between 0 and 1,

    mu = D (dC/dp + J^T mu),      dC/dW_l = mu_l (x) Pool(p_{l-1}) + gamma p_l (x) Pool(mu_{l-1}),      dC/db_l = mu_l

summed over positions: backpropagation through the deterministic dynamics at rest (recurrent backpropagation; Almeida
1987, Pineda 1987), the limit of backpropagation through ever more steps of time. Without a feedback gain J is
symmetric and the equation is the linear response of the fixed point (Scellier & Bengio 2019).

*Equilibrium propagation*: fixed points p+ and p- with the nudges +beta and -beta, and

    dC/dW_l = - ( p+_l (x) Pool(p+_{l-1}) - p-_l (x) Pool(p-_{l-1}) ) g_l / (2 beta)

which differs from the exact one by a term in beta squared (Scellier & Bengio 2017; Laborieux et al. 2021).

The *postsynaptic* rule (`spikesim.ep.gradients.contrast`) has a gradient of its own, that of the weights as they act
forwards while the feedback stays as it is: of the exact one the first term, mu_l (x) Pool(p_{l-1}).

With *clamped drives* (`spikesim.ep.phases.nudged.clamped_drive`) mu_l = D (dC/dp_l + eta Pool^T(W_{l+1}^T * mu_{l+1})),
with an error gain eta of 1 backpropagation through the forward weights while the feedback stays as it is. The gradient
is mu_l (x) Pool(p_{l-1}), its estimate ``- (p+_l - p-_l) (x) Pool(p_{l-1}) / (2 beta)``.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from spikesim.ep.config.layer_rows import INPUT
from spikesim.ep.gradcheck.mean_field import SWEEPS_MAX, TOLERANCE, FixedPoint, Inputs, MeanField, Reals, relaxation
from spikesim.ep.parallel.communicator import Alone, Communicator, share

SAMPLES_TOGETHER = 16
"""Samples that are worked on together: few, so that the matrices fit into the cache, and always the same number, so
that no result depends on the threads."""


@dataclass
class Gradient:
    """A derivative of a cost.

    Attributes
    ----------
    weights : float64, one a connection, of the weights' shape
    biases : float64, one per layer, (C,)
    """

    weights: list[Reals]
    biases: list[Reals]

    def plus(self, other: "Gradient") -> "Gradient":
        """The sum of both."""
        return Gradient(
            [one + two for one, two in zip(self.weights, other.weights, strict=True)],
            [one + two for one, two in zip(self.biases, other.biases, strict=True)],
        )

    def scaled(self, factor: float) -> "Gradient":
        """This gradient times a factor."""
        return Gradient([one * factor for one in self.weights], [one * factor for one in self.biases])


def response(field: MeanField, inputs: Inputs, rest: FixedPoint, *, tolerance: float = TOLERANCE) -> list[Reals]:
    """mu, one per layer (n, H, W, C): what one more unit of drive, everywhere and for ever, would cost.

    The layers are visited in turn until the largest change is below the tolerance times the largest mu.
    """
    n = len(inputs.images)
    sources = [-field.cost_weight(layer) * field.push(layer, own, inputs) for layer, own in enumerate(rest.rates)]
    answers = [field.slope(drive) * field.mask(layer, inputs) for layer, drive in enumerate(rest.drives)]
    mu = [np.zeros((n, *shape)) for shape in field.shapes]
    moved, largest = np.inf, 0.0
    for sweep in range(SWEEPS_MAX):
        if moved <= tolerance * largest:
            break
        moved = largest = 0.0
        for layer in reversed(range(field.layers)):  # downwards: the read-out's error reaches all layers in one sweep
            new = sources[layer].copy()
            for path in field.out_of(layer):
                link = path.link.selecting(rest.rates[layer])
                new += (path.error_gain if field.clamped else 1.0) * link.down(mu[path.target])
            if not field.clamped:
                for path in field.into(layer):
                    if path.source != INPUT:
                        link = path.link.selecting(rest.rates[path.source])
                        new += path.gain * link.up(mu[path.source])
            new = mu[layer] + relaxation(sweep) * (new * answers[layer] - mu[layer])
            moved = max(moved, float(np.abs(new - mu[layer]).max(initial=0.0)))
            largest = max(largest, float(np.abs(new).max(initial=0.0)))
            mu[layer] = new
    return mu


def exact_gradient(
    field: MeanField, inputs: Inputs, rest: FixedPoint, *, rule: str = "symmetric", tolerance: float = TOLERANCE
) -> Gradient:
    """The gradient of the cost at the fixed point of the free phase, summed over the samples.

    rule: "symmetric", of the weights as they act both ways, or "postsynaptic", as they act forwards.
    """
    mu = response(field, inputs, rest, tolerance=tolerance)
    weights = []
    for path in field.paths:
        link, target = path.link, path.target
        below = inputs.images if path.source == INPUT else rest.rates[path.source]
        gradient = link.correlate(below, mu[target])
        if path.source != INPUT and rule == "symmetric":
            link = link.selecting(rest.rates[path.source])
            gradient = gradient + path.gain * link.correlate(mu[path.source], rest.rates[target])
        weights.append(gradient)
    return Gradient(weights, [own.sum(axis=(0, 1, 2)) for own in mu])


def contrast_gradient(
    field: MeanField,
    inputs: Inputs,
    free: FixedPoint,
    plus: FixedPoint,
    minus: FixedPoint,
    beta: float,
    *,
    rule: str = "symmetric",
) -> Gradient:
    """Equilibrium propagation's estimate from the fixed points with the nudges +beta and -beta, summed over samples."""
    scales = [-field.cost_weight(layer) / (2.0 * beta) for layer in range(field.layers)]
    moved = [one - other for one, other in zip(plus.rates, minus.rates, strict=True)]
    weights = []
    for path in field.paths:
        link, source, target = path.link, path.source, path.target
        if source == INPUT:
            contrast = link.correlate(inputs.images, moved[target])
        elif field.clamped:
            contrast = link.correlate(free.rates[source], moved[target])
        elif rule == "postsynaptic":
            contrast = link.correlate((plus.rates[source] + minus.rates[source]) / 2.0, moved[target])
        else:
            first, second = (link.correlate(point.rates[source], point.rates[target]) for point in (plus, minus))
            contrast = first - second
        weights.append(contrast * scales[target])
    return Gradient(weights, [own.sum(axis=(0, 1, 2)) * scale for own, scale in zip(moved, scales, strict=True)])


@dataclass
class Reference:
    """What the mean field says about a mini-batch; gradients are means over the samples.

    Attributes
    ----------
    exact, estimate : Gradient
        The exact gradient, and equilibrium propagation's at a small beta.
    cost, readout_cost : float
        Of all heads, and of the read-out alone; means over the samples.
    activity : float64 (L,)
        Mean p in the free phase.
    residual, residual_nudged : float64 (L,)
        Largest |p - clip(u, 0, 1)| at the end of the free phase and of the two nudged ones.
    difference : float64 (L,)
        Mean |p+ - p-|.
    neurons : float64 (L,)
        That exist, those of all samples together.
    """

    exact: Gradient
    estimate: Gradient
    cost: float
    readout_cost: float
    activity: Reals
    residual: Reals
    residual_nudged: Reals
    difference: Reals
    neurons: Reals


def reference(
    field: MeanField,
    inputs: Inputs,
    beta: float,
    *,
    rule: str = "symmetric",
    threads: int = 1,
    ranks: Communicator | None = None,
    tolerance: float = TOLERANCE,
) -> Reference:
    """Both gradients of a mini-batch.

    Parameters
    ----------
    beta : float
        Of the estimate; small.
    rule : {"symmetric", "postsynaptic"}
    threads : int
    ranks : Communicator, optional
        The processes that share the work. Neither their number nor that of the threads changes a bit.
    """
    ranks = Alone() if ranks is None else ranks

    def run(samples: slice) -> Reference:
        own = inputs.part(samples)
        free = field.settle(own, tolerance=tolerance)
        plus = field.answer(own, free, beta, tolerance=tolerance)
        minus = field.answer(own, free, -beta, tolerance=tolerance)
        apart = [np.abs(a - b).sum() for a, b in zip(plus.rates, minus.rates, strict=True)]
        columns = [field.mask(layer, own).sum() for layer in range(field.layers)]
        neurons = [own * height * channels for own, (height, _, channels) in zip(columns, field.shapes, strict=True)]
        return Reference(
            exact=exact_gradient(field, own, free, rule=rule, tolerance=tolerance),
            estimate=contrast_gradient(field, own, free, plus, minus, beta, rule=rule),
            cost=float(field.cost(free.rates, own).sum()),
            readout_cost=float(field.readout_cost(free.rates, own).sum()),
            activity=np.array([rates.sum() for rates in free.rates]),
            residual=free.residual,
            residual_nudged=np.maximum(plus.residual, minus.residual),
            difference=np.array(apart),
            neurons=np.array(neurons),
        )

    def add(total: Reference, other: Reference) -> Reference:
        return Reference(
            exact=total.exact.plus(other.exact),
            estimate=total.estimate.plus(other.estimate),
            cost=total.cost + other.cost,
            readout_cost=total.readout_cost + other.readout_cost,
            activity=total.activity + other.activity,
            residual=np.maximum(total.residual, other.residual),
            residual_nudged=np.maximum(total.residual_nudged, other.residual_nudged),
            difference=total.difference + other.difference,
            neurons=total.neurons + other.neurons,
        )

    n = len(inputs.images)
    parts = [slice(first, min(first + SAMPLES_TOGETHER, n)) for first in range(0, n, SAMPLES_TOGETHER)]
    with ThreadPoolExecutor(threads) as executor:
        total = ranks.fold(executor.map(run, parts[share(ranks, len(parts))]), add)
    total.exact, total.estimate = total.exact.scaled(1.0 / n), total.estimate.scaled(1.0 / n)
    total.cost, total.readout_cost = total.cost / n, total.readout_cost / n
    total.activity, total.difference = total.activity / total.neurons, total.difference / total.neurons
    return total
