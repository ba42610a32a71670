"""One mini-batch: phases on all threads, contrast, gradients, one step of the optimiser.

The mini-batch is cut into groups of samples; a thread carries a group through all its phases. Everything that crosses
threads is an integer, so neither the number of threads nor the size of the groups can change a bit of the result.
"""

import queue
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.ep import contrast as co
from spikesim.ep import phases as ph
from spikesim.ep import readout as ro
from spikesim.ep.config import Config, per_layer
from spikesim.ep.model import Array, Model, Parameters, initial_scales
from spikesim.ep.optimisers import Optimiser
from spikesim.errors import InputError, Stopped
from spikesim.fixedpoint import INPUT_BITS, ONE
from spikesim.network import TOGETHER
from spikesim.philox import philox_words

Result = TypeVar("Result")

TAG_ORDER, TAG_SIGN = 0xFE000000, 0xFD000000
"""Last words of the counters of random numbers that belong to no neuron; the layers' are below 2**24 * 250."""


class Team:
    """Threads, each with a workspace, and the flag that stops them.

    Parameters
    ----------
    model, config
    threads : int
    stop : uint8 (1,), optional
        Not zero: work in progress ends at once with `Stopped`.
    """

    def __init__(self, model: Model, config: Config, threads: int, stop: NDArray[np.uint8] | None = None) -> None:
        self.model = model
        self.config = config
        self.threads = threads
        self.stop = np.zeros(1, np.uint8) if stop is None else stop
        self.executor = ThreadPoolExecutor(threads)
        self.group = max(1, min(TOGETHER, -(-config.data.batch_size // threads)))
        self._workspaces: queue.SimpleQueue[ph.Workspace] = queue.SimpleQueue()
        for _ in range(threads):
            self._workspaces.put(ph.Workspace(model, config.dynamics, self.group, config.seed))

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop[0] = 1
        self.executor.shutdown(wait=True, cancel_futures=True)

    def groups(self, samples: int) -> list[slice]:
        """Cut a mini-batch into groups."""
        return [slice(first, min(first + self.group, samples)) for first in range(0, samples, self.group)]

    def borrow(self) -> ph.Workspace:
        """A workspace that no other thread uses; give it back."""
        return self._workspaces.get()

    def give_back(self, workspace: ph.Workspace) -> None:
        """Return a workspace."""
        self._workspaces.put(workspace)

    def gather(self, futures: Iterable["Future[Result]"]) -> list[Result]:
        """Results in order; after a failure the rest is cancelled, ended and the first exception raised."""
        pending = list(futures)
        results: list[Result] = []
        failure: BaseException | None = None
        for future in pending:
            try:
                if failure is None:
                    results.append(future.result())
                else:
                    future.cancel() or future.exception()
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure
        return results


@dataclass
class BatchResult:
    """What a mini-batch gave."""

    loss_sum: list[float]  # by sample
    correct: int
    counts: list[ph.PhaseCounts]  # by phase
    rate_difference: NDArray[np.float64]  # (L,): mean |r+ - r-|
    changes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (L + 1,)


@dataclass
class _Group:
    prediction: ro.Prediction
    features: NDArray[np.int64]
    counts: list[ph.PhaseCounts]


class Learner:
    """The parameters, their optimiser, and the mini-batches that change them."""

    def __init__(self, model: Model, config: Config, parameters: Parameters, team: Team) -> None:
        self.model = model
        self.config = config
        self.parameters = parameters
        self.team = team
        self._check_sums()
        settings = config.optimiser
        named = parameters.to_dict(model.names)
        rates: dict[str, float] = {}
        layer_rates = per_layer(settings.learning_rate, model.layers, "optimiser.learning_rate")
        for name, rate, scale in zip(model.names, layer_rates, initial_scales(model, config), strict=True):
            rates[f"{name}/weight"], rates[f"{name}/bias"] = rate * scale, rate * settings.bias_factor
        rates["readout/weight"] = rates["readout/bias"] = (
            model.architecture.readout_rate
            if settings.readout_learning_rate is None
            else settings.readout_learning_rate
        )
        self.optimiser = Optimiser(settings, named, rates)

    def _check_sums(self) -> None:
        """Refuse mini-batches whose correlations could exceed int64, if every neuron fired all the time."""
        dynamics, size = self.config.dynamics, self.config.data.batch_size
        window = max(dynamics.nudged_window, 0 if dynamics.nudging == "centred" else dynamics.window_free)
        for layer, population in enumerate(self.model.stack.populations):
            positions = population.shape[0] * population.shape[1]
            pre = float(2**15) if layer == 0 else self._weight_unit(layer, window) / (ONE * window)
            largest = int(2**63 / (pre * ONE * window * positions))
            if size > largest:
                raise InputError(
                    f"data.batch_size is {size}; at most {largest} keep the contrast of {population.name} exact with a "
                    f"window of {window} steps"
                )

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
        images: NDArray[np.int16],
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        factor: float,
    ) -> BatchResult:
        """Run one mini-batch and change the parameters.

        Parameters
        ----------
        images : int16 (n, H, W, C), 1.0 = 2**12
        sample_ids, labels : int64 (n,)
        factor : float
            On the learning rates.

        Raises
        ------
        Stopped
            The mini-batch was dropped; nothing has changed.
        InputError
            A parameter has left its range.
        """
        dynamics = self.config.dynamics
        self.model.load(self.parameters, dynamics.beta)
        n = len(images)
        size = self.model.compiled.sizes["state"]
        centred = dynamics.nudging == "centred"
        rates = ph.Rates(
            plus=np.empty((n, size), np.int32),
            minus=np.empty((n if centred else 0, size), np.int32),
            free=np.empty((0 if centred else n, size), np.int32),
        )
        sign = self.sign(epoch, batch)
        executor = self.team.executor
        groups = self.team.gather(
            [
                executor.submit(self._run_group, epoch, sign, part, images, sample_ids, labels, rates)
                for part in self.team.groups(n)
            ]
        )
        gradients, rate_difference = self._gradients(images, rates, groups, sign)
        changes = self.optimiser.step(gradients, factor)
        counts = [ph.PhaseCounts.zero(self.model.layers) for _ in range(3)]
        for group in groups:
            for total, part in zip(counts, group.counts, strict=True):
                total.add(part)
        return BatchResult(
            loss_sum=[float(loss) for group in groups for loss in group.prediction.losses],
            correct=sum(int(group.prediction.correct.sum()) for group in groups),
            counts=counts,
            rate_difference=rate_difference,
            changes=np.array([changes[f"{name}/weight"] for name in (*self.model.names, "readout")]),
        )

    def _run_group(
        self,
        epoch: int,
        sign: int,
        part: slice,
        images: NDArray[np.int16],
        sample_ids: NDArray[np.int64],
        labels: NDArray[np.int64],
        rates: ph.Rates,
    ) -> _Group:
        """All phases of one group, on the calling thread."""
        dynamics, stop = self.config.dynamics, self.team.stop
        workspace = self.team.borrow()
        try:
            n = workspace.rest(images[part], sample_ids[part])
            own = labels[part]
            counts = [ph.PhaseCounts.zero(self.model.layers) for _ in range(3)]
            counts[ph.FREE] = workspace.free(n, ph.stream_of(epoch, ph.STREAM_FREE), stop)
            prediction, features = workspace.predict(n, own)
            if len(rates.free):
                workspace.window_sums(n, rates.free[part])
            workspace.keep(n)
            stream = ph.stream_of(epoch, ph.STREAM_NUDGED)
            first = ph.PLUS if sign > 0 else ph.MINUS
            counts[first] = workspace.nudged(n, stream, own, sign * dynamics.beta, stop)
            workspace.window_sums(n, rates.plus[part])
            if len(rates.minus):
                workspace.restore(n)
                if dynamics.noise == "independent":
                    stream = ph.stream_of(epoch, ph.STREAM_NUDGED_MINUS)
                counts[ph.MINUS] = workspace.nudged(n, stream, own, -dynamics.beta, stop)
                workspace.window_sums(n, rates.minus[part])
            return _Group(prediction, features, counts)
        finally:
            self.team.give_back(workspace)

    def _gradients(
        self, images: NDArray[np.int16], rates: ph.Rates, groups: list[_Group], sign: int
    ) -> tuple[dict[str, Array], NDArray[np.float64]]:
        """Gradients of the loss, and the mean |r+ - r-| of each layer."""
        model, dynamics = self.model, self.config.dynamics
        samples, layers = len(images), model.layers
        centred = dynamics.nudging == "centred"
        other, other_window = (rates.minus, dynamics.nudged_window) if centred else (rates.free, dynamics.window_free)
        weights = [np.zeros((2, *model.weight_shape(layer)), np.int64) for layer in range(layers)]
        biases = [np.zeros((2, population.shape[2]), np.int64) for population in model.stack.populations]
        differences = np.zeros(layers)

        def work(piece: co.Piece) -> tuple[co.Piece, list[co.Correlation], float]:
            if self.team.stop[0]:
                raise Stopped
            layer, part = piece.layer, piece.samples
            at = model.state_slice(layer)
            if centred:  # windows of the same length: subtract as integers
                difference = rates.plus[part, at] - rates.minus[part, at]
                apart = float(np.abs(difference).sum(dtype=np.int64))
                return piece, [co.contrast(model, layer, images[part], rates.plus[part], rates.minus[part])], apart
            apart = float(
                np.abs(
                    rates.plus[part, at].astype(np.int64) * other_window
                    - other[part, at].astype(np.int64) * dynamics.nudged_window
                ).sum()
            )
            phases = (rates.plus, other)
            return piece, [co.phase_correlation(model, layer, images[part], sums[part]) for sums in phases], apart

        pieces = co.pieces(model, samples)
        for piece, correlations, apart in self.team.gather(
            [self.team.executor.submit(work, piece) for piece in pieces]
        ):
            differences[piece.layer] += apart
            for i, correlation in enumerate(correlations):
                weights[piece.layer][i] += correlation.weights
                biases[piece.layer][i] += correlation.bias
        gradients: dict[str, Array] = {}
        strength = (2.0 if centred else float(sign)) * dynamics.beta * samples
        for layer, name in enumerate(model.names):
            windows = (dynamics.nudged_window, other_window)
            weight_parts = [weights[layer][i] / self._weight_unit(layer, windows[i]) for i in range(2)]
            bias_parts = [biases[layer][i] / (ONE * windows[i]) for i in range(2)]
            # centred: the difference of the phases is already in the first part, the second is zero
            gradients[f"{name}/weight"] = (-(weight_parts[0] - weight_parts[1]) / strength).astype(np.float32)
            gradients[f"{name}/bias"] = (-(bias_parts[0] - bias_parts[1]) / strength).astype(np.float32)
        gradients.update(self._readout_gradients(groups, samples))
        scale = ONE * dynamics.nudged_window * (1 if centred else other_window)
        neurons = np.array([population.neurons for population in model.stack.populations])
        return gradients, differences / (scale * neurons * samples)

    def _weight_unit(self, layer: int, window: int) -> float:
        """Value of 1 in a correlation: windows of 2**16 a step on either side, four cells behind a pool."""
        if layer == 0:
            return float(ONE * window * (1 << INPUT_BITS))
        return float(ONE * window) ** 2 * (4 if self.model.stack.pooled[layer - 1] else 1)

    def _readout_gradients(self, groups: list[_Group], samples: int) -> dict[str, Array]:
        """Delta rule of the read-out on the free phase."""
        readout, window = self.model.readout, self.config.dynamics.window_free
        errors = np.concatenate([group.prediction.errors for group in groups])
        features = np.concatenate([group.features for group in groups])
        products = ro.feature_gradient(readout, self.model.top, features, errors)
        unit = float(ONE * window * (4 if readout.pooled else 1)) * 2.0**ro.ERROR_BITS * samples
        return {
            "readout/weight": (-products / unit).astype(np.float32),
            "readout/bias": (-errors.sum(axis=0) / (2.0**ro.ERROR_BITS * samples)).astype(np.float32),
        }
