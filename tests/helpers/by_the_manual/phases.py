"""Section "Phases and contrast", up to the means over the windows of the phases."""

import numpy as np
from by_the_manual import heads as hd
from by_the_manual import integers as it
from by_the_manual.chance import Firing, stream_of
from by_the_manual.dynamics import Counts, Network, State, Window
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from by_the_manual.rules import leaked


@follows(
    "1. *free*: `steps_free` steps from rest, $V = 0$ and no spikes;",
    r"""
    In the first of them, as many as the image needs to the top layer (`dynamics.steps_onset`), $\alpha$ is 1: what
    reaches that layer then is noisy but in time, and the low pass of the other steps takes the noise away;
    """,
)
def free(
    network: Network, state: State, stream: int, *, steps: int, window: int, onset: int, record: bool = False
) -> tuple[Window, Counts]:
    """A free phase from a state, which moves on."""
    settings, counts = network.settings, Counts.zero(len(network.layers))
    firing = Firing(settings["firing"], network.seed, stream, state.samples)
    sums = Window(network, state, window, steps)
    for t in range(steps):
        leak = 0 if t < onset else settings["leak"]
        network.step(state, t, firing, counts, order=settings["order"], leak=leak)
        sums.add(state, t, counts.hopfield)
        if record:
            for layer, spikes in enumerate(state.spikes):
                fired = [np.flatnonzero(own) for own in spikes]
                state.train += [(t, layer, int(i), own) for i, own in zip(state.samples, fired, strict=True)]
    return sums, finished(state, sums, counts)


def onset_of(network: Network) -> int:
    """First steps of the free phase without low pass, as docs/configuration.md has their default."""
    settings, layers = network.settings, len(network.layers)
    if settings["steps_onset"] is not None:
        return int(settings["steps_onset"])
    needed = {"synchronous": layers, "parity": -(-layers // 2), "upwards": 1}[settings["order"]]
    return min(needed, settings["steps_free"] - settings["window_free"])


def finished(state: State, window: Window, counts: Counts) -> Counts:
    """Counts with what is known at the end of a phase."""
    counts.saturated = np.array([(potential >= it.P_MAX).sum() for potential in state.potential])
    counts.residual = window.residual()
    return counts


class Nudged:
    """The two nudged phases after a free one.

    Parameters
    ----------
    state : State
        At the end of the free phase, which it leaves alone.
    rest : Window
        Of the free phase.
    strengths : float64 (heads,)
        beta times the strength of each head.
    """

    def __init__(
        self, network: Network, heads: list[hd.Head], state: State, rest: Window, labels: Integers, strengths: Reals
    ) -> None:
        self.network, self.heads, self.state, self.rest = network, heads, state, rest
        self.labels, self.strengths = labels, strengths
        self.settings = network.settings

    @follows(
        r"""
        Where the mean rates of a window stand for spikes ("Graded errors"), $\mathrm{Pool}^T$ gives each
        neuron of a cell the share of the steps of the window in which it won, the product rounded to $2^{-16}$,
        halves up,
        """,
    )
    def to_winners(self, layer: int, back: Integers) -> Integers:
        """What of an error goes to each neuron behind pools of winners; else all of it."""
        if not self.network.winning(layer):
            return back
        steps = self.rest.length
        return (2 * back * self.rest.wins[layer] + steps) // (2 * steps)

    @follows(
        r"""
        2. *nudged+*: `steps_nudged` steps from the end of the free phase with $+\beta$; 3. *nudged-*: the same from
        the same state with $-\beta$; by default one of the two alone, as a random sign of $\beta$ has it ("Both").
        """,
        r"""
        Graded errors have no noise that a second phase would take away: by default (`dynamics.nudging = "deviation"`)
        a sample has a single nudged phase, with $+\beta$ or $-\beta$, drawn for each mini-batch,
        """,
        "`centered` are both phases, the default of spikes;",
        "The two nudged phases draw the same random numbers (*common random numbers*, `dynamics.noise`):",
    )
    def both(self, epoch: int, sign: int) -> tuple[tuple[Window, Counts], tuple[Window, Counts]]:
        """Windows and counts of both phases, of which one is empty where this sign is that of the only nudge."""
        settings = self.settings
        if settings["nudging"] == "deviation":
            none = Window(self.network, self.state, 0, 0), Counts.zero(len(self.network.layers))
            return (self.graded(1), none) if sign > 0 else (none, self.graded(-1))
        minus = "nudged-" if settings["noise"] == "independent" else "nudged"
        streams = stream_of(epoch, "nudged"), stream_of(epoch, minus)
        if settings["nudged_phase"] == "live-spikes":
            return self.live(streams[0], 1), self.live(streams[1], -1)
        if settings["nudged_phase"] == "linear-response":
            return self.graded(1), self.graded(-1)
        first, second = self.held(streams[0], 1), self.held(streams[1], -1)
        first[1].macs += self.macs_of_holding()
        return first, second

    @follows("The low pass of the nudge (`dynamics.trace_leak`) is the same.")
    def seen(self, p: list[Integers], before: dict[str, Integers], t: int) -> dict[str, Integers]:
        """What each head sees at step t: the sums of p, low-passed from those at the beginning of the phase."""
        leak = self.settings["trace_leak"]
        present = {head.name: head.features(p[head.layer]) for head in self.heads}
        return {name: leaked(before.get(name, own), own, leak, t) for name, own in present.items()}

    def nudges(self, seen: dict[str, Integers], sign: int) -> dict[int, Integers]:
        """The nudge of each layer by the head that reads it."""
        return {
            head.layer: head.nudge(seen[head.name], self.labels, sign * strength)
            for head, strength in zip(self.heads, self.strengths, strict=True)
        }

    @follows(
        r"""
        u_l = b_l + W_l \mathrm{Pool}(r_{l-1}) + \gamma\, \mathrm{Pool}^T(W_{l+1}^T r_{l+1}) +
        \eta\, \mathrm{Pool}^T(W_{l+1}^T (s_{l+1} - r_{l+1})) + \mathrm{nudge}_l
        """,
    )
    def clamped_drives(self) -> list[Integers]:
        """What of the drives in nudged phases neither biases, spikes nor nudges make, by layer."""
        network, rates, held = self.network, self.rates, []
        for layer, external in enumerate(self.state.external):
            drive = external.copy()
            if layer > 0:
                drive += network.from_below(layer, rates[layer - 1], 0, unit=16)[0]
            if layer + 1 < len(network.layers):
                drive += network.from_above(layer, rates[layer + 1], network.attenuation, unit=16)
                if self.settings["error_gain"]:
                    eta = -round(np.log2(self.settings["error_gain"]))
                    drive -= network.from_above(layer, rates[layer + 1], eta, unit=16)
            held.append(drive)
        return held

    def macs_of_holding(self) -> Integers:
        """With spikes as errors, `nudged+` begins by sending the mean rates once (docs/metrics.md)."""
        network, rates = self.network, self.rates
        macs = np.zeros(len(network.layers), np.int64)
        for layer in range(1, len(network.layers)):
            macs[layer] += network.from_below(layer, rates[layer - 1], 0, unit=16)[1]
            ways = 2 if self.settings["error_gain"] else 1  # by gamma and by eta
            macs[layer - 1] += ways * network.operations_back(layer - 1, rates[layer])
        return macs

    @follows(
        """
        All layers are updated at once (synchronous, whatever `dynamics.order`), from $V$ and $z$ at the end of the
        free phase. The drive being constant, the first steps, as many as there are layers, need no low pass,
        """,
    )
    def held(self, stream: int, sign: int) -> tuple[Window, Counts]:
        """A phase with clamped drives, and spikes as errors."""
        state = self.state.copied()
        state.external = self.clamped_drives()
        return self._phase(state, stream, sign, held=True)

    @property
    @follows(
        """
        $r$ is the sum of $p$ over the window of the free phase, divided by its length, halves up; each term of the
        held part of $u_l$ is rounded by itself.
        """,
    )
    def rates(self) -> list[Integers]:
        """r of the free phase."""
        length = self.rest.length
        return [np.minimum((sums + length // 2) // length, it.P_MAX) for sums in self.rest.sums]

    @follows(
        """
        With `dynamics.nudged_phase = "live-spikes"` all synapses act in the nudged phases as they do in the free one,
        as in the papers [1, 3].
        """,
    )
    def live(self, stream: int, sign: int) -> tuple[Window, Counts]:
        """A phase with live drives."""
        return self._phase(self.state.copied(), stream, sign, held=False)

    def _phase(self, state: State, stream: int, sign: int, *, held: bool) -> tuple[Window, Counts]:
        network, settings, layers = self.network, self.settings, len(self.network.layers)
        steps = settings["steps_nudged"]
        firing = Firing(settings["firing"], network.seed, stream, state.samples)
        window, counts = Window(network, state, steps // 2 * 2 or 1, steps), Counts.zero(layers)
        seen: dict[str, Integers] = {}
        for t in range(steps):
            seen = self.seen(state.p, seen, t)
            nudges = self.nudges(seen, sign)
            leak = 0 if held and t < layers else settings["leak"]
            order = "synchronous" if held else settings["order"]
            network.step(state, t, firing, counts, order=order, leak=leak, nudges=nudges, held=held)
            window.add(state, t, counts.hopfield)
        return window, finished(state, window, counts)

    @follows(
        r"""
        p_l = \mathrm{clip}( r_l + s_l u_l ), \qquad s_l = \langle 1 \text{ if } 0 < V_l < 1 \text{ else } 0 \rangle,
        \qquad u_l = \eta\, \mathrm{Pool}^T(W_{l+1}^T d_{l+1}) + \mathrm{nudge}_l $s$ being the
        share of the window in which $p$ followed $V$ (1 stands for the largest $p$, $2^{16} - 1$). What it sends down
        is the deviation $d = p - r$: an event with a value and a sign, from those neurons whose rate has moved, each
        a multiply-accumulate.
        """,
        """
        Nothing that moves depends on what lies below: within a step the layers are updated from the top down, the
        error of the top reaches the bottom in one step, and that is a phase; further steps (`dynamics.steps_nudged`)
        take the nudges anew. $r$ is the sum of $p$ over the window of the free phase, divided by its length, halves
        up; $s u$ is rounded to $2^{-16}$, halves to even; $d$ is the difference of these integers. A refractory
        neuron follows $V$ in those steps only in which it may fire, and its $s u$ is multiplied by $1 - R r$, or by 0
        where $r$, from few steps, makes that negative; in the mean field, where it follows $V$ in all steps, twice.
        """,
    )
    def graded(self, sign: int) -> tuple[Window, Counts]:
        """A phase with graded errors."""
        network, settings, rest = self.network, self.settings, self.rates
        layers, steps = len(network.layers), settings["steps_nudged"]
        ready = [own >= 0 for own in rest]
        state = State([own.copy() for own in rest], [], [], self.state.samples, list(rest), [], ready)
        window, counts = Window(network, state, steps // 2 * 2 or 1, steps), Counts.zero(layers)
        for t in range(steps):
            counts.hopfield = 0.0
            for layer in reversed(range(layers)):
                share = np.zeros_like(rest[layer])
                if layer + 1 < layers and settings["error_gain"]:
                    eta = -round(np.log2(settings["error_gain"]))
                    deviations = state.potential[layer + 1] - rest[layer + 1]
                    share = self.to_winners(layer, network.from_above(layer, deviations, eta, unit=16))
                    counts.macs[layer] += network.operations_back(layer, deviations)
                counts.hopfield += network.energy(layer, state.potential[layer], rest[layer], share)
                for head, strength in zip(self.heads, self.strengths, strict=True):
                    if head.layer == layer:
                        features = head.features(state.p[layer])
                        share = share + head.nudge(features, self.labels, sign * strength)
                answer = share * self.rest.inside[layer] / self.rest.length
                for _ in range(2 if network.unit else 1):
                    answer = answer * np.maximum(1.0 - network.refractory * rest[layer] / it.ONE, 0.0)
                moved = rest[layer] + np.rint(answer).astype(np.int64)
                state.potential[layer] = state.p[layer] = np.clip(moved, 0, it.P_MAX)
            window.add(state, t, counts.hopfield)
        return window, finished(state, window, counts)
