"""Equilibrium propagation in a recurrent network without layers: spiking neurons learn the XOR of two noisy inputs.

    python examples/recurrent_ep.py [--rounds 300] [--seed 0] [--threads 1]

Two groups of input neurons fire often or rarely. Hidden neurons excite and inhibit each other, the output neurons and,
by the same weights, are driven by them. A free phase, two nudged ones, and every weight moves by what has changed at
its two ends (`spikesim.sparse.learning`).
"""

import argparse

import numpy as np

from spikesim.sparse import Contrastive, Network, Probabilistic
from spikesim.sparse.learning import EquilibriumPropagation, Phases

GROUP, HIDDEN, OUTPUTS = 8, 30, 8
"""Input neurons of a bit and of its opposite; hidden neurons; output neurons of each of the two answers."""
SAMPLES, NOISE = 16, 0.1
HIGH, LOW = 0.6, 0.1
"""Rates of the input when a bit is set and when it is not, and of the outputs as their targets; plus some noise."""


def build(rng: np.random.Generator, samples: int, seed: int, threads: int) -> EquilibriumPropagation:
    """The network with symmetric weights at random, and its learning."""
    net = Network()
    inputs = net.add_source(4 * GROUP, 0.0, name="inputs")
    hidden = net.add_population(HIDDEN, Probabilistic(leak=2, bias=0.1), name="hidden")
    outputs = net.add_population(2 * OUTPUTS, Probabilistic(leak=2, bias=0.2), name="outputs")
    learns = Contrastive(limit=2.0)
    among = np.triu(rng.normal(0, 0.1, (HIDDEN, HIDDEN)) * (rng.random((HIDDEN, HIDDEN)) < 0.3), 1)
    across = rng.normal(0, 0.15, (2 * OUTPUTS, HIDDEN))
    net.connect(inputs, hidden, rng.normal(0, 0.25, (HIDDEN, 4 * GROUP)), plasticity=learns)
    net.connect(hidden, hidden, among + among.T, plasticity=learns)
    net.connect(hidden, outputs, across, plasticity=learns)
    net.connect(outputs, hidden, across.T.copy(), plasticity=learns)
    phases = Phases(free=60, nudged=50, window=40, beta=1.0)
    return EquilibriumPropagation(net, inputs, outputs, samples=samples, phases=phases, seed=seed, threads=threads)


def draw(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates of the inputs (samples, neurons), targets of the outputs, and the answers (samples,)."""
    bits = rng.integers(0, 2, (samples, 2))
    code = np.concatenate([bits, 1 - bits], axis=1).repeat(GROUP, axis=1)
    rates = np.clip(np.where(code, HIGH, LOW) + rng.normal(0, NOISE, code.shape), 0, 1)
    answers = bits[:, 0] ^ bits[:, 1]
    targets = np.where(np.stack([1 - answers, answers], axis=1).repeat(OUTPUTS, axis=1), HIGH, LOW)
    return rates, targets, answers


def decide(rates: np.ndarray) -> np.ndarray:
    """The answer of each sample: whose output neurons fire more."""
    return np.asarray(rates.reshape(-1, 2, OUTPUTS).sum(axis=2).argmax(axis=1))


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    learner = build(rng, SAMPLES, arguments.seed, arguments.threads)
    for number in range(arguments.rounds):
        inputs, targets, _ = draw(rng, SAMPLES)
        error = learner.learn(inputs, targets, rate=0.1)
        if number % 50 == 0 or number == arguments.rounds - 1:
            print(f"round {number}: mean squared error {error:.4f}", flush=True)
    right = 0
    for _ in range(10):
        inputs, _, answers = draw(rng, SAMPLES)
        right += int((decide(learner.rates(inputs)) == answers).sum())
    print(f"{right / (10 * SAMPLES):.0%} of {10 * SAMPLES} new samples are right")


if __name__ == "__main__":
    main()
