"""One mini-batch: phases on all threads, contrast, gradients, one step of the optimiser.

The mini-batch is divided among the ranks and cut into groups of samples; a thread carries a group through all its
phases. Everything that crosses threads and ranks is an integer, so neither their number nor the size of the groups can
change a bit of the result.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.config.random_streams import STREAM_FREE, STREAM_NUDGED, STREAM_NUDGED_MINUS, stream_of
from spikesim.ep.gradients import centering as centring
from spikesim.ep.gradients.activity_penalty import add_price_gradients, price_sums
from spikesim.ep.gradients.estimator import (
    HeadSums,
    LayerSums,
    check_sums,
    head_gradient,
    head_sums,
    layer_gradients,
    layer_sums,
)
from spikesim.ep.inputs.encoding import Input
from spikesim.ep.network import heads as hd
from spikesim.ep.network.model import Array, Model, Parameters, initial_scales
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.communicator import share
from spikesim.ep.parallel.thread_pool import Team
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.readout import Predictions
from spikesim.ep.training import homeostasis
from spikesim.ep.training.batch_sums import BatchSums
from spikesim.ep.training.controllers import Steering
from spikesim.ep.training.optimizers import Optimiser
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import ONE
from spikesim.numerics.philox import philox_words

TAG_ORDER, TAG_SIGN = 0xFE000000, 0xFD000000
"""Last words of the counters of random numbers that belong to no neuron; the layers' are below 2**24 * 250."""


@dataclass
class BatchResult:
    """What a mini-batch gave."""

    loss_sum: list[float]  # of the read-out, by sample
    correct: int
    counts: list[PhaseCounts]  # by phase
    rate_difference: NDArray[np.float64]  # (L,): mean |r+ - r-|
    beta: float
    lambdas: NDArray[np.float64]  # (heads,): strengths beside the read-out's
    prices: NDArray[np.float64]  # (L,): of activity
    head_loss: NDArray[np.float64]  # (heads,): mean over the samples
    head_correct: NDArray[np.int64]  # (heads,)
    activity: list[NDArray[np.float64]]  # by layer, (C,): mean firing probability in the free phase
    input_activity: list[NDArray[np.float64]]  # the same of the inputs of spikes, one or none
    rates: ph.Rates | None = None  # if they were to be kept
    changes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (L + 1,)


@dataclass
class _Group:
    channel_sums: list[NDArray[np.int64]]  # by layer
    counts: list[PhaseCounts]


class Learner:
    """The parameters, their optimiser, and the mini-batches that change them.

    Parameters
    ----------
    soft_targets : float64 (training samples, classes), optional
        The teacher's softened answers, where the signals have a teacher.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        parameters: Parameters,
        team: Team,
        soft_targets: NDArray[np.float64] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.parameters = parameters
        self.team = team
        self.soft_targets = soft_targets
        self._buffers = Buffers()
        self.steering = Steering(config, model.heads, model.layers)
        check_sums(model, config)
        named = parameters.to_dict(model.parameter_names)
        self.optimiser = Optimiser(config.optimiser, named, learning_rates(model, config))

    def order(self, epoch: int, samples: int) -> NDArray[np.int64]:
        """The order of the training samples in an epoch, keyed by seed and epoch."""
        counters = np.zeros((samples, 4), np.uint32)
        counters[:, 0] = np.arange(samples)
        counters[:, 1] = epoch
        counters[:, 3] = TAG_ORDER
        words = philox_words(counters, self.config.seed)
        return np.lexsort((words[:, 1], words[:, 0])).astype(np.int64)

    def sign(self, epoch: int, batch: int) -> int:
        """Sign of the (first) nudge of a mini-batch."""
        if self.config.dynamics.nudging != "random-sign":
            return 1
        word = philox_words(np.array([[batch, epoch, 0, TAG_SIGN]], np.uint32), self.config.seed)[0, 0]
        return 1 if word & 1 else -1

    def batch(
        self,
        epoch: int,
        batch: int,
        inputs: Input,
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        factor: float,
        progress: float = 0.0,
    ) -> BatchResult:
        """Run one mini-batch and change the parameters.

        Parameters
        ----------
        inputs : images int16 (own, H, W, C), 1.0 = 2**12, or spikes
            Of this rank's share of the samples (`spikesim.ep.parallel.communicator.share`), all of them if it is alone.
        sample_ids, labels : int64 (n,)
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
        gradients, result = self._estimate(epoch, batch, inputs, sample_ids, labels, progress)
        changes = self._step(gradients, result, factor)
        result.changes = np.array([changes[name] for name in (*self.model.names, hd.READOUT)])
        self.steering.observe(result.rate_difference, np.array([own.mean() for own in result.activity]))
        stability = self.config.stability
        if stability.homeostasis > 0:
            for bias, activity in zip(self.parameters.biases, result.activity, strict=True):
                bias += homeostasis.bias_change(stability, activity)
        return result

    def load(self, progress: float) -> tuple[float, NDArray[np.float64]]:
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
        beta, lambdas = self.steering.beta, self.steering.lambdas(progress)
        self.model.load(self.parameters, beta * max(1.0, float(lambdas.max())), self.team.map)
        return beta, lambdas

    def _step(self, gradients: dict[str, Array], result: BatchResult, factor: float) -> dict[str, float]:
        """Move the parameters, layers and heads on different threads; the mean change of the weights of each. Gradients
        are centred in place.
        """
        self.optimiser.begin()

        def move(index: int) -> float:
            name = self.model.parameter_names[index]
            weight, bias = gradients[f"{name}/weight"], gradients[f"{name}/bias"]
            self.optimiser.move(f"{name}/bias", bias, factor)
            # a first layer in front of images sees no rates, and heads learn by a rule of their own
            first = 0 if self.model.streamed else 1
            if not self.config.optimiser.centring or not first <= index < self.model.layers:
                return self.optimiser.move(f"{name}/weight", weight, factor)
            below = result.activity[index - 1] if index else result.input_activity[0]
            mean = centring.presynaptic_mean(self.model, index, below)
            weights = self.parameters.weights[index]
            before = self._buffers.take(f"before/{name}", weights.shape, weights.dtype)
            before[...] = weights
            centring.centre(weight, bias, mean)
            change = self.optimiser.move(f"{name}/weight", weight, factor)
            self.parameters.biases[index] -= centring.bias_compensation(weights, before, mean)
            return change

        names = self.model.parameter_names
        return dict(zip(names, self.team.map(move, range(len(names))), strict=True))

    def estimate(
        self,
        epoch: int,
        batch: int,
        inputs: Input,
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        progress: float = 0.0,
        *,
        keep_rates: bool = False,
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
        gradients, result = self._estimate(epoch, batch, inputs, sample_ids, labels, progress)
        if keep_rates:
            result.rates = ph.Rates(*(self.team.ranks.join(rates.copy()) for rates in self._room(len(inputs))))
        return {name: gradient.copy() for name, gradient in gradients.items()}, result

    def _estimate(
        self,
        epoch: int,
        batch: int,
        inputs: Input,
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        progress: float,
    ) -> tuple[dict[str, Array], BatchResult]:
        """`estimate`, with gradients that the next mini-batch overwrites."""
        dynamics, (beta, lambdas) = self.config.dynamics, self.load(progress)
        samples, own = len(sample_ids), share(self.team.ranks, len(sample_ids))
        sign = self.sign(epoch, batch)
        rates = self._room(len(inputs))
        found = Predictions.empty(self.model.packed, len(inputs))
        stopped, sums = False, None
        try:
            sums = self._sums(epoch, sign * beta * lambdas, inputs, sample_ids[own], labels[own], rates, found)
        except Stopped:
            stopped = True
        if self.team.ranks.any(stopped) or sums is None:
            raise Stopped
        self.team.ranks.add(sums.arrays())
        losses = self.team.ranks.join(found.losses)
        gradients, rate_difference = layer_gradients(
            self.model, dynamics, self.team, sums.layers, samples, sign * beta, self._buffers
        )
        add_price_gradients(self.model, sums.prices, samples, dynamics.window_free, self.steering.prices, gradients)
        for head, head_sum in zip(self.model.heads, sums.heads, strict=True):
            weight, bias = head_gradient(head, head_sum, samples, dynamics.window_free)
            gradients[f"{head.name}/weight"], gradients[f"{head.name}/bias"] = weight, bias
        activity = self._activity(sums, samples)
        result = BatchResult(
            loss_sum=losses[:, -1].tolist(),
            correct=int(sums.correct[-1]),
            counts=sums.counts,
            rate_difference=rate_difference,
            beta=beta,
            lambdas=lambdas,
            prices=self.steering.prices,
            head_loss=np.array([math.fsum(own) for own in losses.T]) / samples,
            head_correct=sums.correct,
            activity=activity[: self.model.layers],
            input_activity=activity[self.model.layers :],
        )
        return gradients, result

    def _room(self, n: int) -> ph.Rates:
        """Room for the window sums of n samples in those phases whose sums are needed; always the same memory."""
        size = self.model.compiled.sizes["state"]
        centred, priced = self.config.dynamics.nudging == "centred", bool(self.steering.prices.any())
        needed = not centred or self.model.held is not None or self.model.streamed

        def take(name: str, rows: int) -> NDArray[np.int32]:
            return self._buffers.take(f"rates/{name}", (rows, size), np.int32)

        return ph.Rates(
            plus=take("plus", n),
            minus=take("minus", n if centred else 0),
            free=take("free", n if needed or priced else 0),
            followed=take("followed", n if priced else 0),
        )

    def _sums(
        self,
        epoch: int,
        strengths: NDArray[np.float64],
        inputs: Input,
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        rates: ph.Rates,
        found: Predictions,
    ) -> BatchSums:
        """What this rank's share of a mini-batch adds up to; its window sums and predictions are kept beside."""
        targets = None if self.soft_targets is None else self.soft_targets[sample_ids]

        def run(part: slice) -> _Group:
            own_targets = None if targets is None else targets[part]
            samples = inputs[part], sample_ids[part], labels[part], own_targets
            return self._run_group(epoch, strengths, part, *samples, rates, found.rows(part))

        groups = self.team.map(run, self.team.groups(len(inputs)))
        heads = range(len(self.model.heads))
        pending = [self.team.executor.submit(self._head_sums, index, found) for index in heads]
        layers = LayerSums.room(self.model, self.config.dynamics, self._buffers)
        layer_sums(self.model, self.config.dynamics, self.team, inputs, rates, layers)
        own, prices = (inputs, rates.free, rates.followed), self.steering.prices
        priced = price_sums(self.model, self.team, *own, prices, self._buffers) if prices.any() else {}
        sums = BatchSums.zero(self.model, layers, priced, self.team.gather(pending))
        sums.correct += found.correct.sum(axis=0)
        for group in groups:
            sums.add(group.channel_sums, group.counts)
        return sums

    def _run_group(
        self,
        epoch: int,
        strengths: NDArray[np.float64],
        part: slice,
        inputs: Input,
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        soft_targets: NDArray[np.float64] | None,
        rates: ph.Rates,
        found: Predictions,
    ) -> _Group:
        """All phases of one group, on the calling thread.

        Its window sums go into the rows `part` of `rates`, what its heads say of the free phase into `found`.
        """
        dynamics, stop = self.config.dynamics, self.team.stop
        workspace = self.team.borrow()
        try:
            n = workspace.rest(inputs, sample_ids)
            counts = [PhaseCounts.zero(self.model.layers) for _ in range(3)]
            counts[ph.FREE] = workspace.free(n, stream_of(epoch, STREAM_FREE), stop)
            workspace.predict(n, labels, soft_targets, found)
            channel_sums = workspace.channel_sums(n)
            if len(rates.free):
                workspace.window_sums(n, rates.free[part])
            if len(rates.followed):
                workspace.followed_steps(n, rates.followed[part])
            held_macs = workspace.keep(n)
            stream = stream_of(epoch, STREAM_NUDGED)
            first = ph.PLUS if strengths[-1] > 0 else ph.MINUS
            counts[first] = workspace.nudged(n, stream, labels, strengths, stop, soft_targets)
            counts[first].macs[:] += held_macs
            workspace.window_sums(n, rates.plus[part])
            if len(rates.minus):
                workspace.restore(n)
                if dynamics.noise == "independent":
                    stream = stream_of(epoch, STREAM_NUDGED_MINUS)
                counts[ph.MINUS] = workspace.nudged(n, stream, labels, -strengths, stop, soft_targets)
                workspace.window_sums(n, rates.minus[part])
            return _Group(channel_sums, counts)
        finally:
            self.team.give_back(workspace)

    def _activity(self, sums: BatchSums, samples: int) -> list[NDArray[np.float64]]:
        """Mean firing probability of each channel of the layers, then of inputs, in the window of the free phase."""
        scale = ONE * self.config.dynamics.window_free * samples
        shapes = [population.shape for population in (*self.model.stack.populations, *self.model.inputs)]
        return [
            own / float(scale * height * width) for own, (height, width, _) in zip(sums.channels, shapes, strict=True)
        ]

    def _head_sums(self, index: int, found: Predictions) -> HeadSums:
        """What one head's delta rule adds up; zeros for those that stay as they are."""
        head = self.model.heads[index]
        if head.name != hd.READOUT and self.config.signals.learning == "fixed":
            weight = self.parameters.head_weights[index]
            return HeadSums(np.zeros(weight.shape, np.int64), np.zeros(weight.shape[-1], np.int64))
        at = int(self.model.packed.table[index].at)
        return head_sums(head, found.features[:, at : at + head.features], found.errors[:, index])


def learning_rates(model: Model, config: Config) -> dict[str, float]:
    """Learning rate of each array of parameters, by name, before the schedule."""
    settings, signals = config.optimiser, config.signals
    rates: dict[str, float] = {}
    layer_rates = per_layer(settings.learning_rate, model.layers, "optimiser.learning_rate")
    for name, rate, scale in zip(model.names, layer_rates, initial_scales(model, config), strict=True):
        rates[f"{name}/weight"], rates[f"{name}/bias"] = rate * scale, rate * settings.bias_factor
    readout_rate = settings.readout_learning_rate
    for head in model.heads:
        own = readout_rate if head.name == hd.READOUT or signals.learning_rate is None else signals.learning_rate
        rates[f"{head.name}/weight"] = rates[f"{head.name}/bias"] = own
    return rates
