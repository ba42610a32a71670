"""Sections "Dynamics" and "Energy function and mean field": a network with its weights, and its steps."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from by_the_manual import integers as it
from by_the_manual import network as nt
from by_the_manual.chance import Firing
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from by_the_manual.rules import leaked

Settings = dict[str, Any]


@dataclass
class Parameters:
    """What is learned, float32: weights and biases by name of layer, head and read-out."""

    weights: dict[str, Any]
    biases: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)  # gains and statistics, by `name/gain`, `/mean`, `/deviation`


@follows(
    """
    A *synaptic event* is one spike delivered through one synapse, an accumulate. The counters are exact
    ([metrics.md](metrics.md) says what counts as a synapse).
    """,
)
@dataclass
class Counts:
    """What a phase counts, by layer, summed over its samples."""

    spikes: Integers
    events_forward: Integers
    events_feedback: Integers
    macs: Integers
    saturated: Integers
    residual: Reals
    hopfield: float = 0.0

    @classmethod
    def zero(cls, layers: int) -> "Counts":
        """Nothing counted."""
        return cls(*(np.zeros(layers, np.int64) for _ in range(5)), residual=np.zeros(layers))


@dataclass
class State:
    """A group of samples, by layer: V and z, (n, neurons), p for z in the mean field; and drives from outside.

    Attributes
    ----------
    p : int64 (n, neurons), one a layer
        That of the step before, or of a rate its value.
    waits : the same
        Steps to come in which p is 0.
    ready : bool, the same
        Whether the step before was none of those.
    """

    potential: list[Integers]
    spikes: list[Integers]
    external: list[Integers]
    samples: Integers  # which index in the data set each has
    p: list[Integers]
    waits: list[Integers]
    ready: list[Any]
    train: list[tuple[int, int, int, Integers]] = field(default_factory=list)  # (step, layer, sample, neurons)

    def copied(self) -> "State":
        """The same with V, z, p and waits of its own."""
        potential, spikes, p, waits = (
            [own.copy() for own in arrays] for arrays in (self.potential, self.spikes, self.p, self.waits)
        )
        return State(potential, spikes, self.external, self.samples, p, waits, list(self.ready))


class Network:
    """Layers with their weights as the integers of the dynamics.

    Parameters
    ----------
    settings : dict
        The section `dynamics` of the configuration.
    refractory : int
        R; 0: neurons are not refractory.
    """

    def __init__(
        self, layers: list[nt.Layer], parameters: Parameters, settings: Settings, seed: int, refractory: int = 0
    ) -> None:
        self.layers, self.settings, self.seed, self.refractory = layers, settings, seed, refractory
        self.weights, self.exponents, self.biases, self.integers = [], [], [], []
        for layer in layers:
            whole, exponent = it.quantized(parameters.weights[layer.name])
            self.integers.append(whole)
            self.weights.append(layer.matrix(whole))
            self.exponents.append(exponent)
            positions = layer.shape[0] * layer.shape[1]
            self.biases.append(np.tile(it.quantized_bias(parameters.biases[layer.name]), positions))

    @property
    @follows(
        r"""
        With a feedback gain $\gamma < 1$ (`dynamics.feedback_gain`, a power of two, or 0) a layer receives $\gamma$
        times what the one above sends back.
        """,
    )
    def attenuation(self) -> int:
        """The feedback gain gamma is 2 to minus this."""
        return -round(np.log2(self.settings["feedback_gain"]))

    @follows(
        r"""
        Layers $l = 1, \ldots, L$ over an image $x$. Each neuron has a membrane potential $V$, a firing probability
        $p = \mathrm{clip}(V, 0, 1)$ and a spike $z$ that is 0 or 1.
        """,
        """
        The first layer gets $W_1 * x$ from the image, a constant that is computed once per sample, instead of a term
        in $z^0$;
        """,
    )
    def at_rest(self, images: Integers, samples: Integers) -> State:
        """Samples with V = 0 and no spikes in front of their normalized images."""
        n = len(images)
        zeros = [np.zeros((n, layer.neurons), np.int64) for layer in self.layers]
        image = it.scaled(through(self.weights[0], images.reshape(n, -1)), self.exponents[0] + 12 - 16)
        spikes, p, waits = ([z.copy() for z in zeros] for _ in range(3))
        return State(zeros, spikes, [image, *zeros[1:]], samples, p, waits, [z == 0 for z in zeros])

    @property
    @follows(
        """
        `dynamics.inference = "mean-field"` runs exactly that: deterministic, $p$ is sent as a 16-bit number, an event
        where it is not 0.
        """,
    )
    def unit(self) -> int:
        """What a neuron sends has 1.0 = 2 to this: 0 for spikes."""
        return 16 if self.settings["inference"] == "mean-field" else 0

    def winning(self, layer: int) -> bool:
        """Whether a layer is read through pools of winners."""
        return self.layers[layer].pool and bool(self.settings["pooling"] == "winner")

    @follows(
        r"""
        u^l_t &= b^l + W_l * \mathrm{Pool}(z^{l-1}_t) + \mathrm{Pool}^T(W_{l+1}^T * z^{l+1}_t) +
        \mathrm{nudge}^l_t && \text{(drive)} \\
        """,
        "passes its spike $z$ in full,",
    )
    def from_below(
        self, layer: int, below: Integers, t: int, *, unit: int = 0, potential: Integers | None = None
    ) -> tuple[Integers, int]:
        """What a layer hears of the spikes z_t of the one below, and the synapses through which that came.

        With a unit, rates come instead of spikes, 1.0 = 2**unit. potential: V of the layer below, which pools of
        winners want.
        """
        source, shift = self.layers[layer - 1], self.exponents[layer] - 16 + unit
        heard = below
        if self.winning(layer - 1):
            assert potential is not None
            heard = nt.four_cells(below * nt.winners(potential, source.shape), source.shape).sum(axis=1)
        elif source.pool and (self.settings["pooling"] == "average" or unit):
            heard, shift = nt.four_cells(below, source.shape).sum(axis=1), shift + 2
        elif source.pool:
            heard = nt.sampled_cell(below, source.shape, t)
        events = heard if unit == 0 else heard != 0
        count = int((events @ self.layers[layer].fan_out).sum())
        return it.scaled(through(self.weights[layer], heard), shift), count

    @follows(
        r"""
        V^l_{t+1} &= V^l_t + 2^{-k} (u^l_t - V^l_t) && \text{(membrane)} \\ z^l_{t+1} &= 1 \text{ with probability }
        p^l_{t+1} \text{, else } 0 && \text{(spike)}
        """,
        r"""
        With `model.neuron = "refractory"` ([own-neuron.md](own-neuron.md)) a neuron that has fired has $p = 0$ in the
        $R$ steps that follow (`model.refractory`), while $V$ evolves as usual; sums over windows, heads and nudges
        have this $p$. Where $\mathrm{clip}(V, 0, 1)$ stays at $p$, its mean is $p / (1 + R p)$: in the mean field a
        neuron sends that instead of $p$, rounded to $2^{-16}$, halves up, and the sums have it.
        """,
    )
    def step(
        self,
        state: State,
        t: int,
        firing: Firing,
        counts: Counts,
        *,
        order: str,
        leak: int,
        nudges: dict[int, Integers] | None = None,
        held: bool = False,
    ) -> None:
        """Step t of a phase; `held`: nothing but the errors of the layer above is heard, instead of all synapses."""
        counts.hopfield = 0.0
        heard = [t] * len(self.layers)
        for together in self.rounds(order):
            shares = {layer: self._heard(state, layer, heard, counts, held) for layer in together}
            for layer in together:
                outside = self.biases[layer] + state.external[layer]
                counts.hopfield += self.energy(layer, state.potential[layer], outside, shares[layer])
                drive = outside + shares[layer] + (0 if nudges is None else nudges.get(layer, 0))
                state.potential[layer] = leaked(state.potential[layer], drive, leak, t)
                waits, p = state.waits[layer], it.probability(state.potential[layer])
                p = it.mean_rate(p, self.refractory) if self.unit else p * (waits == 0)
                state.p[layer] = sent = p
                if not self.unit:
                    sent = (firing.numbers(layer, self.layers[layer].shape, t) < p).astype(np.int64)
                    state.waits[layer] = np.where(sent > 0, self.refractory, np.maximum(waits - 1, 0))
                state.ready[layer] = waits == 0
                state.spikes[layer] = sent
                counts.spikes[layer] += int((sent > 0).sum())
                heard[layer] = t + 1

    def _heard(self, state: State, layer: int, heard: list[int], counts: Counts, held: bool) -> Integers:
        total = np.zeros_like(state.potential[layer])
        forward, feedback = (counts.macs, counts.macs) if self.unit else (counts.events_forward, counts.events_feedback)
        if layer > 0 and not held:
            sent, potential = state.spikes[layer - 1], state.potential[layer - 1]
            share, events = self.from_below(layer, sent, heard[layer - 1], unit=self.unit, potential=potential)
            total += share
            forward[layer] += events
        gain = self.settings["error_gain" if held else "feedback_gain"]
        if layer + 1 < len(self.layers) and gain:
            back = self.from_above(layer, state.spikes[layer + 1], -round(np.log2(gain)), unit=self.unit)
            total += self.to_winners(layer, back, state.potential[layer])
            feedback[layer] += self.operations_back(layer, state.spikes[layer + 1])
        return total

    @follows(
        """
        In a synchronous step all layers receive the spikes of step $t$, as written here. By default (`dynamics.order
        = "upwards"`) the layers are updated one after the other, from the lowest to the top, and each receives the
        new spikes of the one below, $z_{t+1}$ instead of $z_t$; with `parity` layers 1, 3, 5 .. are updated first,
        and 2, 4, 6 .. receive their new spikes.
        """,
    )
    def rounds(self, order: str) -> list[list[int]]:
        """Which layers, from 0, are updated together, one round after the other."""
        layers = list(range(len(self.layers)))
        return {
            "synchronous": [layers],
            "parity": [layers[::2], layers[1::2]],
            "upwards": [[layer] for layer in layers],
        }[order]

    @follows("The feedback is the exact transpose of the way up.")
    def from_above(self, layer: int, above: Integers, attenuation: int, *, unit: int = 0) -> Integers:
        """What a layer hears of the one above; what comes has 1.0 = 2**unit, the gain is 2**-attenuation."""
        own = self.layers[layer]
        quarter = own.pool and not self.winning(layer)
        shift = self.exponents[layer + 1] - 16 + unit + attenuation + (2 if quarter else 0)
        back = it.scaled(through(self.weights[layer + 1].T, above), shift)
        return nt.to_four_cells(back, own.shape) if own.pool else back

    @follows("and what comes back goes to that neuron alone;")
    def to_winners(self, layer: int, back: Integers, potential: Integers) -> Integers:
        """What comes back to the winners, where there are some; else to all."""
        return back * nt.winners(potential, self.layers[layer].shape) if self.winning(layer) else back

    def operations_back(self, layer: int, above: Integers) -> int:
        """Synapses through which what is not zero above a layer reaches it."""
        return int(((above != 0) @ self.layers[layer + 1].synapses_of).sum())

    @follows(
        r"""
        $p$ is that before the step, and each layer's share of $\Phi$ has the drive that the step gives it, without
        the nudge, hence the spikes above it from before the step and, where the order is upwards, those below it from
        after it.
        """,
        r"The values of the energy function have $\mathrm{clip}(V, 0, 1)$ for $p$ all the same.",
        r"""
        $E = \frac{1}{2} \sum_l \gamma^{l-1} \langle p_l, p_l - u_l - h_l \rangle$, with $u_l$ the whole drive and $h_l$
        what of it comes from no other neuron: bias, image, clamped drive.
        """,
        """
        In the value of the energy function, clamped drives are constants like the image's; with graded errors, $r_l$
        is what they make and stands for all of $h_l$.
        """,
    )
    def energy(self, layer: int, potential: Integers, outside: Integers, shares: Integers) -> float:
        """A layer's term of E, summed over the samples."""
        p = it.probability(potential)
        total = int((p * (p - 2 * outside - shares)).sum())
        return 0.5 * self.settings["feedback_gain"] ** layer * total / it.ONE**2


@follows(
    """
    The *residual*, the mean |difference| of $p$ between the two halves of a phase's window, tells; it is in every
    report. A window is the last steps of its phase; one of a single step has no halves, and its residual is 0.
    """,
)
class Window:
    """Sums of p over the last steps of a phase, in two halves.

    Attributes
    ----------
    halves : int64 (2, n, neurons), one a layer
    inside : int64 (n, neurons), one a layer
        Steps in which 0 < V < 1, and in which the neuron may fire.
    wins : the same
        Steps in which a neuron had the highest V of its cell, behind pools of winners.
    passed : int64 (n, pooled neurons), one a layer
        Sums of p of these.
    steps_of : list
        Of each step, E as it finds it, and p after it by layer.
    """

    def __init__(self, network: Network, state: State, length: int, steps: int) -> None:
        self.network, self.length, self.steps = network, length, steps
        self.halves = [np.zeros((2, *v.shape), np.int64) for v in state.potential]
        self.inside = [np.zeros(v.shape, np.int64) for v in state.potential]
        self.wins = [np.zeros(v.shape, np.int64) for v in state.potential]
        self.passed = [
            np.zeros((len(v), math.prod(layer.read_shape)), np.int64)
            for layer, v in zip(network.layers, state.potential, strict=True)
        ]
        self.steps_of: list[tuple[float, list[Integers]]] = []

    def add(self, state: State, t: int, hopfield: float) -> None:
        """After step t, which found this E."""
        self.steps_of.append((hopfield, [own.copy() for own in state.p]))
        position = t - (self.steps - self.length)
        if position >= 0:
            for layer, potential in enumerate(state.potential):
                self.halves[layer][2 * position // self.length] += state.p[layer]
                self.inside[layer] += (potential > 0) & (potential < it.P_MAX) & state.ready[layer]
                if self.network.winning(layer):
                    self._add_winners(layer, potential, state.p[layer])

    @follows(
        r"here $\mathrm{Pool}(p)$ is the $p$ of the winners.",
        r"""
                                                      and $\mathrm{Pool}(r)$ is the mean of what the winners passed.
                                                      """,
    )
    def _add_winners(self, layer: int, potential: Integers, p: Integers) -> None:
        shape = self.network.layers[layer].shape
        won = nt.winners(potential, shape)
        self.wins[layer] += won
        self.passed[layer] += nt.four_cells(p * won, shape).sum(axis=1)

    @property
    def sums(self) -> list[Integers]:
        """Over the whole window, (n, neurons), one a layer."""
        return [halves.sum(axis=0) for halves in self.halves]

    def residual(self) -> Reals:
        """By layer; 0 in a window of one step, which has no halves."""
        if self.length < 2:
            return np.zeros(len(self.halves))
        return self._residual([halves[1] - halves[0] for halves in self.halves])

    def _residual(self, apart: list[Integers]) -> Reals:
        return np.array([np.abs(own).sum() / (it.ONE * (self.length // 2) * own.size) for own in apart])

    def traces(self) -> list[dict[str, Any]]:
        """The rows of /traces (docs/run-file.md), a step each: E, the residual in a window that ends here, activity."""
        rows = []
        for step in range(1, len(self.steps_of) + 1):
            hopfield, p = self.steps_of[step - 1]
            residual = np.full(len(p), np.nan)
            if step >= self.length > 1:
                window = [own for _, own in self.steps_of[step - self.length : step]]
                by_layer = [np.array([own[layer] for own in window]) for layer in range(len(p))]  # (length, n, neurons)
                half = self.length // 2
                residual = self._residual([own[half:].sum(axis=0) - own[:half].sum(axis=0) for own in by_layer])
            activity = [own.sum() / (it.ONE * own.size) for own in p]
            rows.append({"step": step, "hopfield": hopfield / len(p[0]), "residual": residual, "activity": activity})
        return rows


def through(matrix: Any, values: Any) -> Any:
    """What values (n, sources) add up to behind a matrix (targets, sources): (n, targets)."""
    return (matrix @ values.T).T
