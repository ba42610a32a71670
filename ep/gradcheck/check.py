"""The gradient check: the engine's estimates against the mean field's gradients, on the same mini-batches.

Three gradients of one network's cost are compared, layer by layer:

- *stochastic*: what `Learner.estimate` gives, spikes, integers and all, exactly as in training;
- *mean-field*: equilibrium propagation at a small beta between converged fixed points in float64
  (`ep/gradcheck/implicit_gradient.py`);
- *exact*: the gradient of the cost at the fixed point.

Where samples enter as spikes, the mean field takes their mean over the window of the free phase, a constant.

What is between the first and the second is noise, finite windows and the size of beta; between the second and the
third, what is left of beta's bias.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.evaluation.from_run import RunWeights, run_parameters
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradcheck.mean_field import Inputs, MeanField, Reals
from spikesim.ep.gradients.scheme import NudgingScheme
from spikesim.ep.inputs.encoding import Input, Sequences, Tokens, rows_of
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.inputs.texts import encoded
from spikesim.ep.network.error_signals import check_teacher
from spikesim.ep.network.graph import Edge, LayerGraph
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.agreement import check_agreement
from spikesim.ep.parallel.communicator import share
from spikesim.ep.parallel.execution import Execution
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.nudged.ways import response_of
from spikesim.ep.training.initialization import check_random_start, start
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.normalization import Normalization
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE

QUANTILES = (0.1, 0.5, 0.9, 0.99)
"""Of |r+ - r-| over the neurons of a layer and the samples."""
WITHOUT_DROPOUT = (("model.dropout", 0.0), ("model.dropout_units", "neurons"), ("model.dropout_layers", ()))
"""Both gradients are those of the whole network."""
COURSE_POINTS = 10
"""Lengths of the nudged phases at which the estimate is taken, at most."""


@dataclass(frozen=True)
class Variant:
    """What of the configuration a check varies."""

    noise: str
    firing: str
    contrast: str
    pooling: str
    steps_nudged: int
    beta: float
    window_nudged: int | None = None  # as configured, or the whole phase where its length is not the configured one

    @classmethod
    def of(cls, config: Config) -> "Variant":
        """That of a configuration."""
        dynamics = config.dynamics
        return cls(
            dynamics.noise, dynamics.firing, dynamics.contrast, dynamics.pooling, dynamics.steps_nudged, dynamics.beta
        )

    def configure(self, config: Config) -> Config:
        """The configuration with this variant's values.

        Raises
        ------
        InputError
            A value is out of range.
        """
        changes = [(f"dynamics.{key}", value) for key, value in asdict(self).items()]
        if self.window_nudged is None and self.steps_nudged == config.dynamics.steps_nudged:
            changes = [(key, value) for key, value in changes if key != "dynamics.window_nudged"]
        return make_config(merge(config.to_dict(), changes))


def variants(config: Config, windows: Iterable[int], betas: Iterable[float], *, levers: bool) -> list[Variant]:
    """The variants of a grid.

    Parameters
    ----------
    windows : lengths of a nudged phase; none for the configured one
    betas : the same for beta
    levers : bool
        Also every combination of noise, firing, contrast and pooling (with strides there is none).
    """
    own = Variant.of(config)
    kinds = [own]
    if levers:
        graded = not response_of(config.dynamics).spiking  # nudged phases without noise
        choices = (
            (own.noise,) if graded else ("common", "independent"),
            ("iid", "stratified"),
            (own.contrast,) if graded else ("probability", "spikes"),
            ("average", "sampled") if own.pooling in ("average", "sampled") else (own.pooling,),
        )
        kinds = [Variant(*words, own.steps_nudged, own.beta) for words in itertools.product(*choices)]
    return [
        replace(kind, steps_nudged=window, beta=beta)
        for kind in kinds
        for window in tuple(windows) or (own.steps_nudged,)
        for beta in tuple(betas) or (own.beta,)
    ]


def is_noisy(config: Config) -> bool:
    """Whether the nudged phases have noise, so that the length of their window matters."""
    return response_of(config.dynamics).spiking and config.dynamics.inference == "stochastic"


def course(config: Config) -> list[Variant]:
    """The estimate over the steps of the nudged phases: phases of growing length, in whose last two steps it is taken.

    None for the linear response, which has no steps in time.
    """
    if not response_of(config.dynamics).spiking:
        return []
    longest = config.dynamics.steps_nudged
    lengths = sorted({2 * max(1, round(length / 2)) for length in np.geomspace(2, max(2, longest), COURSE_POINTS)})
    return [
        replace(Variant.of(config), steps_nudged=length, window_nudged=2) for length in lengths if length <= longest
    ]


@dataclass
class Similarity:
    """How two gradients compare, by mini-batch and layer; float64 (repeats, L), not a number where one is zero.

    Attributes
    ----------
    cosine : of the angle between them
    ratio : norm of the first by the norm of the second
    """

    cosine: Reals
    ratio: Reals

    @classmethod
    def of(cls, first: list[list[NDArray[Any]]], second: list[list[NDArray[Any]]]) -> "Similarity":
        """Of arrays by mini-batch and layer."""
        cosines, ratios = [], []
        for one, other in zip(first, second, strict=True):
            pairs = [_compare(a, b) for a, b in zip(one, other, strict=True)]
            cosines.append([cosine for cosine, _ in pairs])
            ratios.append([ratio for _, ratio in pairs])
        return cls(np.array(cosines), np.array(ratios))

    def to_dict(self) -> dict[str, Any]:
        """Means and standard deviations over the mini-batches, by layer."""
        result: dict[str, Any] = {}
        for name, values in (("cosine", self.cosine), ("norm_ratio", self.ratio)):
            result[name] = plain(values.mean(axis=0))
            result[f"{name}_deviation"] = plain(values.std(axis=0))
        return result


def _compare(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    sizes = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if 0.0 in sizes:
        return float("nan"), float("nan") if sizes[1] == 0.0 else 0.0
    return float(first @ second) / sizes[0] / sizes[1], sizes[0] / sizes[1]


def plain(values: Reals) -> list[Any]:
    """Nested lists for JSON; None for what is not a number."""
    return [plain(value) if np.ndim(value) else None if np.isnan(value) else float(value) for value in values]


def by_layer(graph: LayerGraph, weights: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Weights of all connections as those into each layer; of several connections they are put together, flat."""
    found = []
    for layer in range(len(graph.populations)):
        own = [weights[edge.index] for edge in graph.incoming(layer)]
        found.append(own[0] if len(own) == 1 else np.concatenate([one.ravel() for one in own]))
    return found


@dataclass
class VariantResult:
    """What the engine did in one variant; arrays by mini-batch and layer, float64 (repeats, L).

    Attributes
    ----------
    weights, biases : Similarity by "mean-field" and "exact"
        Of the stochastic estimate with these.
    residual : mean |difference of p| between the halves of the free phase's window
    difference : mean |r+ - r-|
    quantiles : float64 (repeats, L, len(QUANTILES))
        Of |r+ - r-|.
    activity : mean p in the free phase
    """

    variant: Variant
    weights: dict[str, Similarity]
    biases: dict[str, Similarity]
    residual: Reals
    difference: Reals
    quantiles: Reals
    activity: Reals

    def to_dict(self) -> dict[str, Any]:
        """Plain values, means over the mini-batches."""
        similarities = {
            key: {"weight": self.weights[name].to_dict(), "bias": self.biases[name].to_dict()}
            for key, name in (("to_mean_field", "mean-field"), ("to_exact", "exact"))
        }
        return {
            "variant": asdict(self.variant),
            **similarities,
            "activity": plain(self.activity.mean(axis=0)),
            "residual": plain(self.residual.mean(axis=0)),
            "rate_difference": plain(self.difference.mean(axis=0)),
            "rate_difference_quantiles": {
                str(q): plain(self.quantiles[:, :, i].mean(axis=0)) for i, q in enumerate(QUANTILES)
            },
        }


@dataclass
class CheckResult:
    """What a check found.

    Attributes
    ----------
    layers : names, lowest first
    samples : int
        In a mini-batch.
    small_beta : float
    weights, biases : Similarity
        Of the mean-field estimate with the exact gradient.
    norms : float64 (L,)
        Of the exact gradient of the weights, mean over the mini-batches.
    cost, readout_cost : float
        Of all heads, and of the read-out alone; means over the mini-batches, at the fixed point.
    activity, residual, residual_nudged, difference : float64 (L,)
        Of the mean field (`spikesim.ep.gradcheck.implicit_gradient.Reference`): means, and largest residuals, over the
        mini-batches.
    variants, course : list of VariantResult
        Those without and with a window of their own (`course`).
    """

    layers: tuple[str, ...]
    samples: int
    small_beta: float
    weights: Similarity
    biases: Similarity
    norms: Reals
    cost: float
    readout_cost: float
    activity: Reals
    residual: Reals
    residual_nudged: Reals
    difference: Reals
    variants: list[VariantResult]
    course: list[VariantResult]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layers": list(self.layers),
            "samples": self.samples,
            "repeats": len(self.weights.cosine),
            "small_beta": self.small_beta,
            "mean_field": {
                "cost": self.cost,
                "readout_cost": self.readout_cost,
                "exact_norm": plain(self.norms),
                "activity": plain(self.activity),
                "residual": plain(self.residual),
                "residual_nudged": plain(self.residual_nudged),
                "rate_difference": plain(self.difference),
                "to_exact": {"weight": self.weights.to_dict(), "bias": self.biases.to_dict()},
            },
            "variants": [result.to_dict() for result in self.variants],
            "course": [result.to_dict() for result in self.course],
        }


@dataclass(frozen=True)
class _MiniBatch:
    """A mini-batch and what the mean field says about it."""

    number: int
    ids: NDArray[np.int64]
    inputs: Input
    labels: NDArray[np.int64]
    reference: ad.Reference


def check_gradients(
    config: Config,
    dataset: Dataset,
    grid: list[Variant],
    *,
    run: RunWeights | None = None,
    small_beta: float = 0.05,
    repeats: int = 1,
    soft_targets: Reals | None = None,
    execution: Execution | None = None,
) -> CheckResult:
    """Compare the gradients on mini-batches of `data.batch_size` training samples.

    Parameters
    ----------
    grid : list of Variant
    run : RunWeights, optional
        A run whose weights are taken; otherwise the initial ones, with calibrated biases.
    small_beta : float
        Of the mean-field estimate.
    repeats : int
        Mini-batches, each with random numbers of its own: those that the first one of that epoch would have.
    soft_targets : float64 (training samples, classes), optional
        The teacher's softened answers, where the signals have a teacher.
    execution : Execution, optional
        Threads and processes that share the work; by default one thread.

    Raises
    ------
    InputError
        The network does not fit the data or the run, there are too few samples, or a value is out of range.
    """
    execution = Execution() if execution is None else execution
    threads, ranks, progress = execution.threads, execution.ranks, execution.progress
    config = make_config(merge(config.to_dict(), WITHOUT_DROPOUT))
    check_teacher(config.error_signals, soft_targets is not None)
    configs = [variant.configure(config) for variant in grid]  # refused before any work
    kept = None if run is None or run.reader.samples is None else run.reader.samples.vocabulary
    dataset = encoded(config, dataset, kept)
    model = Model(config, dataset)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    samples = len(dataset.train.labels) if config.data.limit is None else config.data.limit
    if samples > len(dataset.train.labels):
        raise InputError(f"data.limit is {samples}; {dataset.name} has {len(dataset.train.labels)} training samples")
    if config.data.batch_size > samples:
        raise InputError(f"data.batch_size is {config.data.batch_size}; there are only {samples} samples")
    stored = None if run is None else run_parameters(run.reader, model, dataset.name, run.which)
    if ranks is not None:
        check_agreement(ranks, config, dataset, soft_targets, stored)
    with ThreadPool(model, config, threads, ranks=ranks) as thread_pool:
        if stored is not None:
            parameters = stored
        else:
            check_random_start(config)
            progress("calibrating the biases")
            parameters = initial_parameters(model, config)
            normalization = Normalization(config, model.graph, parameters)
            start(model, config, normalization, thread_pool, pipeline, samples)
        learner = Learner(model, config, parameters, thread_pool, soft_targets)
        strengths = learner.controllers.lambdas(0.0)
        model.set_parameters(parameters, small_beta * max(1.0, float(strengths.max())))
        field = MeanField.from_model(model, strengths.tolist())
        batches = []
        for number in range(repeats):
            progress(f"mean field, mini-batch {number + 1} of {repeats}")
            ids = learner.order(number, samples)[: config.data.batch_size]
            given, labels = pipeline.train(number, ids), dataset.train.labels[ids]
            targets = None if soft_targets is None else soft_targets[ids]
            extents = model.extents[given.lengths] if isinstance(given, Sequences | Tokens) else None
            inputs = Inputs.prepare(pipeline.mean(given), labels, dataset.classes, targets, extents)
            found = ad.reference(field, inputs, small_beta, rule=config.dynamics.rule, threads=threads, ranks=ranks)
            batches.append(_MiniBatch(number, ids, given, labels, found))
    results = []
    for number, (variant, own) in enumerate(zip(grid, configs, strict=True), 1):
        progress(f"variant {number} of {len(grid)}")
        results.append(_run_variant(variant, own, dataset, parameters, batches, execution, soft_targets))
    references = [batch.reference for batch in batches]
    estimates = [by_layer(model.graph, r.estimate.weights) for r in references]
    exact = [by_layer(model.graph, r.exact.weights) for r in references]
    return CheckResult(
        layers=model.names,
        samples=config.data.batch_size,
        small_beta=small_beta,
        weights=Similarity.of(estimates, exact),
        biases=Similarity.of([r.estimate.biases for r in references], [r.exact.biases for r in references]),
        norms=np.mean([[np.linalg.norm(weights) for weights in own] for own in exact], axis=0),
        cost=float(np.mean([r.cost for r in references])),
        readout_cost=float(np.mean([r.readout_cost for r in references])),
        activity=np.mean([r.activity for r in references], axis=0),
        residual=np.max([r.residual for r in references], axis=0),
        residual_nudged=np.max([r.residual_nudged for r in references], axis=0),
        difference=np.mean([r.difference for r in references], axis=0),
        variants=[result for result in results if result.variant.window_nudged is None],
        course=[result for result in results if result.variant.window_nudged is not None],
    )


def _run_variant(
    variant: Variant,
    config: Config,
    dataset: Dataset,
    parameters: ParameterTree,
    batches: list[_MiniBatch],
    execution: Execution,
    soft_targets: Reals | None,
) -> VariantResult:
    """The engine's estimates of one variant against the references."""
    model = Model(config, dataset)
    weights, biases, residuals, differences, quantiles, activities = [], [], [], [], [], []
    with ThreadPool(model, config, execution.threads, ranks=execution.ranks) as thread_pool:
        learner = Learner(model, config, parameters, thread_pool, soft_targets)
        for batch in batches:
            inputs = batch.inputs[share(thread_pool.ranks, len(batch.ids))]
            gradients, result = learner.estimate(
                MiniBatch(batch.number, 0, inputs, batch.ids, batch.labels), keep_rates=True
            )
            rows = rows_of(batch.inputs)
            estimated = [_whole(edge, gradients[edge.weight], rows) for edge in model.graph.edges]
            weights.append(by_layer(model.graph, estimated))
            biases.append([gradients[f"{name}/bias"] for name in model.names])
            differences.append(result.rate_difference)
            quantiles.append(_difference_quantiles(model, learner.scheme, result.rates))
            activities.append([float(activity.mean()) for activity in result.activity])
            free = result.counts[ph.FREE]
            residuals.append(free.mean_residual(config.dynamics.window_free))
    references = [batch.reference for batch in batches]
    return VariantResult(
        variant=variant,
        weights={
            "mean-field": Similarity.of(weights, [by_layer(model.graph, r.estimate.weights) for r in references]),
            "exact": Similarity.of(weights, [by_layer(model.graph, r.exact.weights) for r in references]),
        },
        biases={
            "mean-field": Similarity.of(biases, [r.estimate.biases for r in references]),
            "exact": Similarity.of(biases, [r.exact.biases for r in references]),
        },
        residual=np.array(residuals),
        difference=np.array(differences),
        quantiles=np.array(quantiles),
        activity=np.array(activities),
    )


def _whole(edge: Edge, gradient: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The gradient of all weights of a connection; rows: of a lookup, those that it is of."""
    if not edge.lookup:
        return gradient
    whole = np.zeros(edge.shape, np.float32)
    whole[rows] = gradient
    return whole


def _difference_quantiles(model: Model, scheme: NudgingScheme, rates: ph.Rates | None) -> list[list[float]]:
    """Quantiles of |r+ - r-| (or of what is compared in their place) of each layer."""
    assert rates is not None
    found = []
    for layer in range(model.layers):
        compared = [
            model.layer_maps(layer, getattr(rates, name)) / (ONE * window)
            for name, window in zip(scheme.compared, scheme.windows, strict=False)
        ]
        difference = compared[0] if len(compared) == 1 else compared[0] - compared[1]
        found.append(np.quantile(np.abs(difference), QUANTILES).tolist())
    return found
