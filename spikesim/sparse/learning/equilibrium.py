"""Equilibrium propagation in a recurrent network of spiking neurons: a free phase, nudged ones, and their contrast.

The terms are those of `spikesim.ep`: inputs are clamped, the *free phase* runs until the network has settled, *nudged
phases* push the outputs towards their targets and away from them, and a weight moves by what has changed at its two
ends (Scellier & Bengio 2017):

    dw = (post+ pre+ - post- pre-) / (2 beta)     centered
    dw = (post+ pre+ - post0 pre0) / beta         one-sided, beside a phase without a nudge

with rates over a window at the end of each phase, from the spikes that neurons have counted. Nudged phases start from
the same state and have the same random numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, reals, shown
from spikesim.sparse.connections.distributions import set_fields
from spikesim.sparse.network import Network, Population
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.weights import SynapseList
from spikesim.sparse.simulation import Simulation

SCHEMES = {"centered": (1, -1), "one-sided": (1, 0)}
"""Signs of the nudges of the two phases that are compared."""
STEPS_MAX = 2**20


@dataclass(frozen=True)
class Phases:
    """How the phases of a group of samples run.

    Attributes
    ----------
    free, nudged : int
        Steps of a phase.
    window : int
        Steps at the end of each in which spikes are counted.
    beta : float
        The nudge is beta (target - rate in the free phase), a current into each output neuron.
    nudging : str
        "centered" or "one-sided".

    Raises
    ------
    InputError
        A value out of range.
    """

    free: int = 80
    nudged: int = 60
    window: int = 40
    beta: float = 0.5
    nudging: str = "centered"

    def __post_init__(self) -> None:
        window = integer(self.window, "window", 1, STEPS_MAX)
        found = {
            name: integer(getattr(self, name), f"{name}, with a window of {window},", window, STEPS_MAX)
            for name in ("free", "nudged")
        }
        beta = real(self.beta, "beta")
        if beta == 0:
            raise InputError("beta is 0; without a nudge there is nothing to compare")
        if self.nudging not in SCHEMES:
            raise InputError(f"nudging is {shown(self.nudging)}; it must be one of {', '.join(SCHEMES)}")
        set_fields(self, **found, window=window, beta=beta)


class Contrast(NamedTuple):
    """What two nudged phases say of weights and biases, means over the samples.

    Attributes
    ----------
    weights : dict of int to float64 (synapses,)
        By the number of each projection that learns, in the order of `Simulation.synapses`.
    biases : dict of int to float64 (neurons,)
        By the number of each population but sources.
    error : float
        Mean squared error of the outputs in the free phase.
    rates : float64 (samples, outputs)
        Of the outputs in the free phase.
    """

    weights: dict[int, NDArray[np.float64]]
    biases: dict[int, NDArray[np.float64]]
    error: float
    rates: NDArray[np.float64]


class EquilibriumPropagation:
    """Learns with a recurrent network: projections with `Contrastive` weights learn, others stay.

    A synapse and one that leads back get the same update: weights that are symmetric at the start stay so, and the rule
    is the gradient of an energy. Others learn their feedback: with a decay, what differs between both directions fades
    (Kolen & Pollack 1994), and until then the update is none of a gradient.

    Samples are the trials of a simulation. A free phase goes on from the state that the phase before has left, and must
    be long enough to forget it.

    Parameters
    ----------
    network : Network
    inputs, outputs : Population
        What is clamped, a source by rates or neurons by currents; what is nudged.
    samples : int
        That are run together.
    phases : Phases
    seed, threads : int

    Attributes
    ----------
    simulation : Simulation
    biases : dict of int to float64 (neurons,)
        Learned, by population: currents besides the biases that the network has.

    Raises
    ------
    InputError
        A value out of range, outputs that are a source, or no projection that learns.
    """

    def __init__(
        self,
        network: Network,
        inputs: Population,
        outputs: Population,
        *,
        samples: int = 1,
        phases: Phases | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self._learning = [own for own in network.projections if isinstance(own.plasticity, Contrastive)]
        if not self._learning:
            raise InputError("no projection learns; connect one with plasticity=Contrastive(limit)")
        if outputs.source or outputs is inputs:
            raise InputError(f"{outputs.name} cannot be nudged: it is a source, or the input")
        self.phases = phases or Phases()
        self.simulation = Simulation(network, trials=samples, seed=seed, threads=threads)
        self._populations = tuple(network.populations)
        self._inputs, self._outputs = inputs, outputs
        self._lists: dict[int, SynapseList] = {own.index: self.simulation.synapses(own) for own in self._learning}
        self._weights = {index: own.weights.copy() for index, own in self._lists.items()}
        self.biases = {own.index: np.zeros(own.size) for own in self._populations if not own.source}

    def weights(self, projection: int) -> SynapseList:
        """The synapses of a projection that learns, by its number, with their weights."""
        return self._lists[projection]._replace(weights=self._weights[projection].copy())

    def rates(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Rates of the outputs in a free phase, float64 (samples, outputs).

        Parameters
        ----------
        inputs : float array (samples, neurons)
            A rate, or a current, of each neuron of the input.
        """
        self._clamp(self._samples(inputs, self._inputs, "inputs"), self.simulation)
        return self._phase(self.phases.free)[self._outputs.index] / self.phases.window

    def contrast(self, inputs: ArrayLike, targets: ArrayLike) -> Contrast:
        """Run the phases of some samples.

        Parameters
        ----------
        inputs : float array (samples, neurons)
        targets : float array (samples, outputs)
            Rates that the outputs should have, in spikes a step.
        """
        wanted = self._samples(targets, self._outputs, "targets")
        rates = self.rates(inputs)
        error = wanted - rates
        start, signs, counts = self.simulation.snapshot(), SCHEMES[self.phases.nudging], []
        for sign in signs:
            self.simulation.rewind(start)
            self._nudge(sign * self.phases.beta * error, self.simulation)
            counts.append(self._phase(self.phases.nudged))
        self._nudge(np.zeros_like(error), self.simulation)
        scale = (signs[0] - signs[1]) * self.phases.beta * len(error) * self.phases.window
        return Contrast(
            {index: own / (scale * self.phases.window) for index, own in self._products(counts).items()},
            {index: (counts[0][index] - counts[1][index]).sum(axis=0) / scale for index in self.biases},
            float(np.mean(error**2)),
            rates,
        )

    def learn(
        self, inputs: ArrayLike, targets: ArrayLike, rate: float, *, bias_rate: float | None = None, decay: float = 0.0
    ) -> float:
        """Move weights and biases by the contrast of some samples; the mean squared error before.

        Parameters
        ----------
        rate, bias_rate : float
            Learning rates; that of the biases is `rate` unless given.
        decay : float
            Share of each weight that is lost.
        """
        found = self.contrast(inputs, targets)
        self.move(found, rate, bias_rate=bias_rate, decay=decay)
        return found.error

    def move(self, found: Contrast, rate: float, *, bias_rate: float | None = None, decay: float = 0.0) -> None:
        """Move weights and biases by a contrast; the arguments are those of `learn`."""
        for own in self._learning:
            assert own.plasticity is not None
            moved = (1 - decay) * self._weights[own.index] + rate * found.weights[own.index]
            self._weights[own.index] = np.clip(moved, own.plasticity.Wmin, own.plasticity.Wmax)
            self.simulation.set_weights(own, self._weights[own.index])
        for index, change in found.biases.items():
            self.biases[index] += (rate if bias_rate is None else bias_rate) * change

    def prepare(self, simulation: Simulation, inputs: ArrayLike) -> None:
        """Give another simulation of the network the weights, biases and inputs of a free phase.

        Parameters
        ----------
        simulation : Simulation
            With as many trials as there are samples.
        inputs : float array (samples, neurons)
        """
        for own in self._learning:
            simulation.set_weights(own, self._weights[own.index])
        self._clamp(self._samples(inputs, self._inputs, "inputs"), simulation)

    def save(self, path: str | Path, beside: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        """Write the state between two calls of `learn`: weights, biases and that of the simulation.

        Parameters
        ----------
        path : path-like
        beside : dict of str to float64 array, optional
            What else belongs to the state.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        own = {f"weights{index}": values for index, values in self._weights.items()}
        own |= {f"biases{index}": values for index, values in self.biases.items()}
        self.simulation.save(path, {**(beside or {}), **own})

    def restore(self, path: str | Path) -> dict[str, NDArray[np.float64]]:
        """Go on from a state of the same network, number of samples and seed, to the same bits.

        Returns
        -------
        dict of str to float64 array
            What `save` was given beside the state.

        Raises
        ------
        InputError
            The file cannot be read, or is of another network.
        """
        found = self.simulation.restore(path)
        for kind, held in (("weights", self._weights), ("biases", self.biases)):
            for index, values in held.items():
                saved = found.pop(f"{kind}{index}", None)
                if saved is None or saved.shape != values.shape:
                    raise InputError(f"{path} is not the state of a network that learns, or of another one; start anew")
                held[index] = saved
        return found

    def _samples(self, given: ArrayLike, population: Population, what: str) -> NDArray[np.float64]:
        found, wanted = reals(given, what), (self.simulation.trials, population.size)
        if found.shape != wanted:
            raise InputError(f"{what} have shape {found.shape}; (samples, neurons of {population.name}) is {wanted}")
        return found

    def _clamp(self, inputs: NDArray[np.float64], simulation: Simulation) -> None:
        """Give all populations their learned biases, and the input what it is to have."""
        for own in self._populations:
            if own is not self._inputs and not own.source and own is not self._outputs:
                simulation.set_input(own, self.biases[own.index])
        for trial, values in enumerate(inputs):
            simulation.set_input(self._inputs, values + self.biases.get(self._inputs.index, 0.0), trial)
        self._nudge(np.zeros((len(inputs), self._outputs.size)), simulation)

    def _nudge(self, currents: NDArray[np.float64], simulation: Simulation) -> None:
        for trial, values in enumerate(currents):
            simulation.set_input(self._outputs, values + self.biases[self._outputs.index], trial)

    def _phase(self, steps: int) -> dict[int, NDArray[np.int64]]:
        """Run a phase; spikes in its window, int64 (samples, neurons), by population."""
        self.simulation.run(steps - self.phases.window)
        before = self._counts()
        self.simulation.run(self.phases.window)
        self.simulation.forget_records()
        return {index: own - before[index] for index, own in self._counts().items()}

    def _counts(self) -> dict[int, NDArray[np.int64]]:
        trials = range(self.simulation.trials)
        return {
            own.index: np.stack([self.simulation.spike_counts(own, trial) for trial in trials])
            for own in self._populations
        }

    def _products(self, counts: list[dict[int, NDArray[np.int64]]]) -> dict[int, NDArray[np.int64]]:
        """Differences of the products of spikes at the two ends of each synapse, sums over the samples: exact."""
        found = {}
        for own in self._learning:
            synapses = self._lists[own.index]
            total = np.zeros(len(synapses.sources), np.int64)
            for sign, phase in zip((1, -1), counts, strict=True):
                before, after = phase[own.source.index], phase[own.target.index]
                for sample in range(len(before)):
                    total += sign * before[sample][synapses.sources] * after[sample][synapses.targets]
            found[own.index] = total
        return found
