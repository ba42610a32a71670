"""Equilibrium propagation by hand: a small network of spiking neurons learns XOR, with nothing but the simulator.

    python examples/ep_by_hand.py [--rounds 600]

Two inputs, a hidden and an output layer, tied weights. Each round runs a free phase, then two nudged ones whose output
neurons are pushed towards and away from their targets, and moves every weight by the difference of what happened at its
two ends (Scellier & Bengio 2017). `spikesim train` does the same for convolutional networks, on integers alone.
"""

import argparse

import numpy as np

from spikesim import Dense, Network, Simulator

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.8, 0.2]])  # (even, odd): away from where p is clipped
HIDDEN, BETA, RATE = 32, 1.0, 0.15
FREE, NUDGED, WINDOW = 60, 40, 32


class Net:
    """Two layers behind a drive from outside, and their float parameters."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        net = Network()
        self.hidden = net.add_population((1, 1, HIDDEN), leak=2)
        self.output = net.add_population((1, 1, 2), leak=2)
        self.tied = net.connect(self.hidden, self.output, Dense(), tied=True)
        self.compiled = net.compile(external=[self.hidden, self.output])
        self.simulator = Simulator(self.compiled, samples=len(INPUTS), firing="stratified", seed=seed)
        self.inward = rng.normal(0, 0.7, (2, HIDDEN))
        self.outward = rng.normal(0, 0.15, (HIDDEN, 2))
        self.biases = rng.uniform(-0.2, 0.4, HIDDEN), np.full(2, 0.3)

    def load(self) -> None:
        """Hand the parameters to the simulator."""
        self.compiled.set_weights(self.tied, self.outward)
        for population, bias in zip((self.hidden, self.output), self.biases, strict=True):
            self.compiled.set_bias(population, bias)
        drive = (INPUTS - 0.5) @ self.inward  # (4, HIDDEN)
        self.simulator.set_external(self.hidden, drive.reshape(-1, 1, 1, HIDDEN))

    def phase(self, steps: int, stream: int, nudge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run a phase with this nudge of the output (4, 2); the mean firing probabilities of both layers."""
        self.simulator.set_external(self.output, nudge.reshape(-1, 1, 1, 2))
        self.simulator.run(steps, window=WINDOW, stream=stream)
        found = [self.simulator.rates(population) for population in (self.hidden, self.output)]
        return found[0].reshape(-1, HIDDEN), found[1].reshape(-1, 2)

    def learn(self, round_number: int) -> float:
        """One round on all four patterns; the mean squared error of the free phase."""
        self.load()
        self.simulator.reset()
        _, output = self.phase(FREE, 2 * round_number, np.zeros((4, 2)))
        membranes, spikes = self.simulator.state.membrane.copy(), self.simulator.state.words.copy()
        error = TARGETS - output
        rates = []
        for sign in (1, -1):  # from the same state, with the same random numbers
            self.simulator.state.membrane[...], self.simulator.state.words[...] = membranes, spikes
            rates.append(self.phase(NUDGED, 2 * round_number + 1, sign * BETA * error))
        (hidden_plus, output_plus), (hidden_minus, output_minus) = rates
        scale = RATE / (2 * BETA * len(INPUTS))
        self.outward += scale * (hidden_plus.T @ output_plus - hidden_minus.T @ output_minus)
        self.inward += scale * (INPUTS - 0.5).T @ (hidden_plus - hidden_minus)
        self.biases[0][...] += scale * (hidden_plus - hidden_minus).sum(axis=0)
        self.biases[1][...] += scale * (output_plus - output_minus).sum(axis=0)
        return float(np.mean(error**2))


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    net = Net(arguments.seed)
    for round_number in range(arguments.rounds):
        error = net.learn(round_number)
        if round_number % 100 == 0 or round_number == arguments.rounds - 1:
            print(f"round {round_number}: mean squared error {error:.4f}")
    net.load()
    net.simulator.reset()
    _, output = net.phase(FREE, 2 * arguments.rounds, np.zeros((4, 2)))
    for (first, second), (even, odd) in zip(INPUTS, output, strict=True):
        print(f"{first:.0f} xor {second:.0f}: even {even:.2f}, odd {odd:.2f} -> {int(odd > even)}")


if __name__ == "__main__":
    main()
