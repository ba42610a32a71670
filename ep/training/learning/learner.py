"""One mini-batch: phases on all threads, contrast, gradients, one step of the optimizer.

The mini-batch is divided among the ranks and cut into groups of samples; a thread carries a group through all its
phases. Everything that crosses threads and ranks is an integer, so neither their number nor the size of the groups can
change a bit of the result.
"""

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_FREE, nudged_stream, stream_of
from spikesim.ep.gradients import centering
from spikesim.ep.gradients.activity_penalty import add_penalty_gradients, penalty_sums
from spikesim.ep.gradients.estimator import (
    Divisors,
    HeadSums,
    LayerSums,
    check_sums,
    head_gradient,
    head_sums,
    layer_gradients,
    layer_sums,
    rate_difference,
)
from spikesim.ep.gradients.scheme import NudgingScheme
from spikesim.ep.inputs.encoding import rows_of
from spikesim.ep.inputs.samples import MiniBatch, Samples
from spikesim.ep.network import heads as hd
from spikesim.ep.network.graph import Edge
from spikesim.ep.network.learning_rates import learning_rates
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.communicator import share
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.potentials import Moments, PotentialSums
from spikesim.ep.phases.rate_sums import RateSums, mean_activity
from spikesim.ep.phases.readout import Predictions
from spikesim.ep.training.learning.batch_sums import BatchSums
from spikesim.ep.training.learning.optimizers import Optimizer
from spikesim.ep.training.normalization import LayerNormalization, Normalization
from spikesim.ep.training.stability import homeostasis
from spikesim.ep.training.stability.controllers import Controllers
from spikesim.ep.training.transfer.matching import frozen_layers
from spikesim.errors import Stopped
from spikesim.numerics.philox import philox_words

TAG_ORDER = 0xFE000000
"""Last word of the counters of random numbers that belong to no neuron; the layers' are below 2**24 * 250."""


@dataclass
class BatchResult:
    """What a mini-batch gave."""

    loss_sum: list[float]  # of the answer, by sample
    correct: int
    counts: list[PhaseCounts]  # by phase
    rate_difference: NDArray[np.float64]  # (L,): mean |r+ - r-|
    beta: float
    lambdas: NDArray[np.float64]  # (heads,): strengths beside the read-out's
    penalties: NDArray[np.float64]  # (L,): of activity
    head_loss: NDArray[np.float64]  # (heads,): mean over the samples
    head_correct: NDArray[np.int64]  # (heads,)
    activity: list[NDArray[np.float64]]  # by layer, (C,): mean firing probability in the free phase
    potentials: list[Moments]  # by layer: of the membrane potentials at the end of the free phase; none unless needed
    rate_sums: RateSums  # of the window of the free phase
    rates: ph.Rates | None = None  # if they were to be kept
    changes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (L + 1,)


@dataclass
class _Group:
    rates: RateSums
    potentials: PotentialSums
    counts: list[PhaseCounts]


class Learner:
    """The parameters, their optimizer, and the mini-batches that change them.

    Parameters
    ----------
    soft_targets : float64 (training samples, classes), optional
        The teacher's softened answers, where the signals have a teacher.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        parameters: ParameterTree,
        thread_pool: ThreadPool,
        soft_targets: NDArray[np.float64] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.parameters = parameters
        self.thread_pool = thread_pool
        self.soft_targets = soft_targets
        self._buffers = Buffers()
        self.controllers = Controllers(config, model)
        self.scheme = NudgingScheme.of(model, config)
        check_sums(model, self.scheme, config.data.batch_size)
        self.normalization = Normalization(config, model.graph, parameters)
        self.frozen = frozen_layers(config, model.names)
        self.normalization.hold(self.frozen)
        self.optimizer = Optimizer(config.optimizer, self.normalization.learned(), learning_rates(model, config))

    def order(self, epoch: int, samples: int) -> NDArray[np.int64]:
        """The order of the training samples in an epoch, keyed by seed and epoch."""
        counters = np.zeros((samples, 4), np.uint32)
        counters[:, 0] = np.arange(samples)
        counters[:, 1] = epoch
        counters[:, 3] = TAG_ORDER
        words = philox_words(counters, self.config.seed)
        return np.lexsort((words[:, 1], words[:, 0])).astype(np.int64)

    def batch(self, batch: MiniBatch, factor: float, progress: float = 0.0) -> BatchResult:
        """Run one mini-batch and change the parameters.

        Parameters
        ----------
        batch : MiniBatch
        factor : float
            On the learning rates.
        progress : float
            Share of the training that is done, for the schedule of the signals.

        Raises
        ------
        Stopped
            The mini-batch was dropped, by all ranks; nothing has changed.
        InputError
            A parameter has left its range.
        """
        gradients, result = self._estimate(batch, progress)
        result.changes = self._step(gradients, result, factor, rows_of(batch.inputs))
        self.controllers.observe(result.rate_difference, np.array([own.mean() for own in result.activity]))
        return result

    def set_parameters(self, progress: float) -> tuple[float, NDArray[np.float64]]:
        """Put the parameters into the network, for nudges of the present strengths.

        Returns
        -------
        float
            beta.
        float64 (heads,)
            Strengths of the heads beside the read-out's.

        Raises
        ------
        InputError
            A parameter is out of range.
        """
        beta, lambdas = self.controllers.beta, self.controllers.lambdas(progress)
        dropout, parameters = self.model.dropout, self.parameters
        if dropout is not None:
            parameters = dropout.scaled(parameters)
        self.model.set_parameters(parameters, beta * max(1.0, float(lambdas.max())), self.thread_pool.map)
        if dropout is not None:
            dropout.check(self.model.compiled)
        return beta, lambdas

    def _step(
        self, gradients: dict[str, Array], result: BatchResult, factor: float, rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Move the parameters, layers and heads on different threads; gradients are centered in place.

        rows: of a lookup, those that the gradient is of.

        Returns
        -------
        float64 (L + 1,)
            Mean change of the weights of each layer and of the read-out.
        """
        self.optimizer.begin()
        numbers = range(self.model.layers)
        layers = [partial(self._move_layer, layer, gradients, result, factor, rows) for layer in numbers]
        heads = [partial(self._move_head, head.name, gradients, factor) for head in self.model.heads]
        changes = self.thread_pool.map(lambda move: move(), [*layers, *heads])
        return np.array([*changes[: self.model.layers], changes[self.model.layers + self.model.readout]])

    def _move_head(self, name: str, gradients: dict[str, Array], factor: float) -> float:
        """Move the parameters of a head; the mean change of its weights."""
        self.optimizer.move(f"{name}/bias", gradients[f"{name}/bias"], factor)
        return self.optimizer.move(f"{name}/weight", gradients[f"{name}/weight"], factor)

    def _move_layer(
        self, layer: int, gradients: dict[str, Array], result: BatchResult, factor: float, rows: NDArray[np.int64]
    ) -> float:
        """Move the parameters of a layer, unless it is frozen; the mean change of its weights."""
        if layer in self.frozen:
            return 0.0
        name, edges, own = self.model.names[layer], self.model.graph.incoming(layer), self.normalization.layers[layer]
        bias = gradients[f"{name}/bias"]
        if edges[0].lookup:
            self.optimizer.move(f"{name}/bias", bias, factor)
            return self.optimizer.move_rows(edges[0].weight, rows, gradients[edges[0].weight], factor)
        gain = own.gain_gradient(gradients, bias)
        means = {edge.name: self._presynaptic_mean(edge, result) for edge in edges if self._is_centered(edge)}
        for edge in edges:
            if edge.name in means:
                centering.centre(gradients[edge.weight], bias, means[edge.name])
        own.project([gradients[edge.weight] for edge in edges])
        if result.potentials:
            own.observe(result.potentials[layer], self._statistics_rate(factor))
        self.optimizer.move(f"{name}/bias", bias, factor)
        if gain is not None:
            self.optimizer.move(own.gain_name, gain, factor)
        seen = own.seen(means)
        changes = [self._move_weights(own, edge, gradients[edge.weight], seen.get(edge.name), factor) for edge in edges]
        if self.config.stability.homeostasis > 0:
            own.bias += homeostasis.bias_change(self.config.stability, result.activity[layer])
        own.fold()
        if len(edges) == 1:
            return changes[0]
        sizes = [math.prod(edge.shape) for edge in edges]
        return math.fsum(change * size for change, size in zip(changes, sizes, strict=True)) / sum(sizes)

    def _statistics_rate(self, factor: float) -> float:
        """Share of the mini-batch in the running statistics; factor: on the learning rates."""
        settings = self.config.model
        return settings.statistics_rate * (factor if settings.statistics_schedule == "annealed" else 1.0)

    def _move_weights(
        self, layer: LayerNormalization, edge: Edge, gradient: Array, mean: Array | None, factor: float
    ) -> float:
        """Move the weights of a connection, the mean drive that rates of this mean make staying; their mean change."""
        if mean is None:
            return self.optimizer.move(edge.weight, gradient, factor)
        weights = layer.weights[edge.name]
        before = self._buffers.take(f"before/{edge.name}", weights.shape, weights.dtype)
        before[...] = weights
        change = self.optimizer.move(edge.weight, gradient, factor)
        layer.keep_mean_drive(centering.bias_compensation(weights, before, mean))
        return change

    def _is_centered(self, edge: Edge) -> bool:
        """Whether the weights of a connection learn in centered form; an image has no rates."""
        return self.config.optimizer.centering and not edge.analogue

    def _presynaptic_mean(self, edge: Edge, result: BatchResult) -> Array:
        """Mean rate that each weight of a connection sees in the window of the free phase."""
        seen = centering.seen(self.model, edge, result.rate_sums)
        positions = result.counts[ph.FREE].positions(edge.target, edge.shape[-1])
        mean = centering.presynaptic_mean(edge, seen, positions, self.config.dynamics.window_free)
        dropout = self.model.dropout
        return mean if dropout is None or edge.weight not in dropout.scaled_weights else mean * dropout.scale

    def estimate(
        self, batch: MiniBatch, progress: float = 0.0, *, keep_rates: bool = False
    ) -> tuple[dict[str, Array], BatchResult]:
        """Run the phases of one mini-batch: the gradients of the loss by name, and what happened.

        Parameters are those of `batch`, and

        keep_rates : bool
            Whether the result keeps the window sums of all neurons.

        Raises
        ------
        Stopped
            The mini-batch was dropped, by all ranks.
        InputError
            A parameter is out of range.
        """
        gradients, result = self._estimate(batch, progress)
        if keep_rates:
            rates = self._room(len(batch.inputs))
            result.rates = ph.Rates(*(self.thread_pool.ranks.join(own.copy()) for own in rates))
        return {name: gradient.copy() for name, gradient in gradients.items()}, result

    def _estimate(self, batch: MiniBatch, progress: float) -> tuple[dict[str, Array], BatchResult]:
        """`estimate`, with gradients that the next mini-batch overwrites."""
        beta, lambdas = self.set_parameters(progress)
        count = len(batch.ids)
        sign = self.scheme.comparison.sign(self.config.seed, batch.epoch, batch.number)
        own = batch.own(share(self.thread_pool.ranks, count), self.soft_targets)
        found = Predictions.empty(self.model.packed, len(own.inputs))
        stopped, sums = False, None
        try:
            sums = self._sums(batch.epoch, sign * beta * lambdas, own, found)
        except Stopped:
            stopped = True
        if self.thread_pool.ranks.any(stopped) or sums is None:
            raise Stopped
        self.thread_pool.ranks.add(sums.arrays())
        losses = self.thread_pool.ranks.join(np.column_stack([found.losses, found.answers.losses]))
        gradients = self._gradients(sums, count, sign * beta)
        result = BatchResult(
            loss_sum=losses[:, -1].tolist(),
            correct=int(sums.correct[-1]),
            counts=sums.counts,
            rate_difference=rate_difference(self.scheme, sums.layers, sums.counts[ph.FREE].neurons),
            beta=beta,
            lambdas=lambdas,
            penalties=self.controllers.penalties,
            head_loss=np.array([math.fsum(own) for own in losses[:, :-1].T]) / count,
            head_correct=sums.correct[:-1],
            activity=self._activity(sums),
            potentials=self._potentials(sums),
            rate_sums=sums.rates,
        )
        return gradients, result

    def _gradients(self, sums: BatchSums, count: int, beta: float) -> dict[str, Array]:
        """Gradients of all parameters by name, of so many samples; beta with the sign of the first nudge."""
        window = self.config.dynamics.window_free
        batch = Divisors(count, beta)
        gradients = layer_gradients(self.model, self.scheme, self.thread_pool, sums.layers, batch, self._buffers)
        add_penalty_gradients(self.model, sums.penalties, count, window, self.controllers.penalties, gradients)
        for head, head_sum in zip(self.model.heads, sums.heads, strict=True):
            weight, bias = head_gradient(head, head_sum, count, window)
            gradients[f"{head.name}/weight"], gradients[f"{head.name}/bias"] = weight, bias
        if self.model.dropout is not None:
            for name in self.model.dropout.scaled_weights:  # the network has them times the scale
                gradients[name] *= self.model.dropout.scale
        return gradients

    def _room(self, n: int) -> ph.Rates:
        """Room for the window sums of n samples in those phases whose sums are needed; always the same memory."""
        size, penalized = self.model.compiled.sizes["state"], bool(self.controllers.penalties.any())
        needed = {
            "plus": True,
            "minus": "minus" in self.scheme.compared,
            "free": self.scheme.needs_free or penalized,
            "followed": penalized,
        }
        rooms = {
            name: self._buffers.take(f"rates/{name}", (n if wanted else 0, size), np.int32)
            for name, wanted in needed.items()
        }
        return ph.Rates(**rooms)

    def _sums(self, epoch: int, strengths: NDArray[np.float64], samples: Samples, found: Predictions) -> BatchSums:
        """What this rank's share of a mini-batch adds up to; its predictions are kept beside."""
        count = len(samples.inputs)
        rates = self._room(count)

        def run(part: slice) -> _Group:
            return self._run_group(epoch, strengths, samples.part(part), rates.rows(part), found.rows(part))

        groups = self.thread_pool.map(run, self.thread_pool.groups(count))
        heads = range(len(self.model.heads))
        pending = [self.thread_pool.executor.submit(self._head_sums, index, found) for index in heads]
        layers = LayerSums.room(self.model, self.scheme, self._buffers, len(rows_of(samples.inputs)))
        layer_sums(self.model, self.scheme, self.thread_pool, samples.inputs, rates, layers)
        own, penalties = (samples.inputs, rates.free, rates.followed), self.controllers.penalties
        penalized = (
            penalty_sums(self.model, self.thread_pool, *own, penalties, self._buffers) if penalties.any() else {}
        )
        sums = BatchSums.zero(self.model, layers, penalized, self.thread_pool.gather(pending))
        sums.correct += (*found.correct.sum(axis=0), found.answers.correct.sum())
        for group in groups:
            sums.add(group.rates, group.potentials, group.counts)
        return sums

    def rest(self, workspace: ph.Workspace, epoch: int, samples: Samples) -> int:
        """Put training samples of an epoch to rest, the dropped neurons silenced; returns their number."""
        dropout = self.model.dropout
        silencing = None if dropout is None else dropout.silencing(self.model.compiled, samples.ids, epoch)
        return workspace.rest(samples.inputs, samples.ids, silencing)

    def _run_group(
        self, epoch: int, strengths: NDArray[np.float64], samples: Samples, rates: ph.Rates, found: Predictions
    ) -> _Group:
        """All phases of one group, on the calling thread.

        Its window sums go into `rates`, what its heads make of the free phase into `found`.
        """
        stop, comparison = self.thread_pool.stop, self.scheme.comparison
        labels, soft_targets = samples.labels, samples.soft_targets
        workspace = self.thread_pool.workspace
        n = self.rest(workspace, epoch, samples)
        counts = [PhaseCounts.zero(self.model.layers) for _ in range(3)]
        counts[ph.FREE] = workspace.free(n, stream_of(epoch, STREAM_FREE), stop)
        workspace.predict(n, labels, soft_targets, found)
        sizes, populations = self.model.compiled.sizes, self.model.compiled.plan.populations
        summed, potentials = RateSums.zero(sizes["state"]), PotentialSums.zero(sizes["bias"])
        workspace.rate_sums(n, summed)
        if self.normalization.observes:
            potentials.add(populations, workspace.potentials(n), n)
        if len(rates.free):
            workspace.window_sums(n, rates.free)
        if len(rates.followed):
            workspace.followed_steps(n, rates.followed)
        kept = workspace.keep(n)
        places = (ph.PLUS, ph.MINUS) if strengths[self.model.readout] > 0 else (ph.MINUS, ph.PLUS)
        for number, (sign, out) in enumerate(((1.0, rates.plus), (-1.0, rates.minus))[: comparison.nudged_phases]):
            if number:
                workspace.restore(n)
            stream = stream_of(epoch, nudged_stream(self.config.dynamics, number))
            counted = workspace.nudged(n, stream, labels, sign * strengths, stop, soft_targets)
            comparison.collect(workspace, n, out)
            counts[places[number]] = counted
        counts[places[0]].macs[:] += kept
        return _Group(summed, potentials, counts)

    def _activity(self, sums: BatchSums) -> list[NDArray[np.float64]]:
        """Mean firing probability of each channel of each layer in the window of the free phase."""
        window = self.config.dynamics.window_free
        found = [
            mean_activity(sums.rates.maps(own, self.model.slice_of(own).start), self._positions(sums, layer), window)
            for layer, own in enumerate(self.model.graph.populations)
        ]
        dropout = self.model.dropout
        if dropout is not None:  # of the neurons that are not dropped, on average
            for layer in dropout.layers:
                found[layer] = np.minimum(found[layer] * dropout.scale, 1.0)
        return found

    def _positions(self, sums: BatchSums, layer: int) -> int:
        """Positions of a layer that exist, of all samples together."""
        return sums.counts[ph.FREE].positions(layer, self.model.graph.populations[layer].shape[2])

    def _potentials(self, sums: BatchSums) -> list[Moments]:
        """Moments of the potentials of the layers, where they are normalized by them."""
        if not self.normalization.observes:
            return []
        rows = self.model.compiled.plan.populations[: self.model.layers]
        return [sums.potentials.moments(row, self._positions(sums, layer)) for layer, row in enumerate(rows)]

    def _head_sums(self, index: int, found: Predictions) -> HeadSums:
        """What one head's delta rule adds up; zeros for those that stay as they are."""
        head = self.model.heads[index]
        if head.name != hd.READOUT and self.config.error_signals.learning == "fixed":
            weight = self.parameters.head(head.name).weight
            return HeadSums(np.zeros(weight.shape, np.int64), np.zeros(weight.shape[-1], np.int64))
        at = int(self.model.packed.table[index].at)
        return head_sums(head, found.features[:, at : at + head.features], found.errors[:, index])
