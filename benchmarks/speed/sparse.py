"""The event-driven simulator of sparse networks beside Brian2 and NEST: the same network, one core, events a second.

    python benchmarks/speed/sparse.py --brian PEER/bin/python  # speed, set-up, memory; without it spikesim alone
    python benchmarks/speed/sparse.py --brian PEER/bin/python --law  # do both follow the same law?
    python benchmarks/speed/sparse.py --quiet  # ten times the neurons, the same spikes
    python benchmarks/speed/sparse.py --large  # a million neurons
    python benchmarks/speed/sparse.py --nest NEST/bin/python  # integrate-and-fire neurons (--lif), beside NEST

PEER is an environment of its own with Brian2 and a C++ compiler at hand (`pip install 'brian2==2.9.*' 'numpy<2'
setuptools`), NEST one with NEST (`pip install 'nest-simulator==3.10.*' numpy`); `brian_network.py` and
`nest_network.py` are what runs there.

The network: four fifths of the neurons excite, one fifth inhibits, `INHIBITION` times as strongly. Each has the same
number of synapses, four fifths of them onto excitatory neurons, the targets drawn at random; each synapse has a delay,
uniform in a range. A neuron is a leaky low pass of what arrives, V <- V + (u + s - V) 2**-leak, and fires in a step
with probability V, clipped to 0 .. 1. Weight and bias follow from the wanted activity: potentials should vary by
`SPREAD` times the rate, so that the neurons fire by the fluctuations of what they receive and leak, delays and weights
are felt in their rates and intervals. NEST has no such neuron: beside it runs the balanced network of leaky
integrate-and-fire neurons of `lif_network.py`, which is also Brian2's and spikesim's with `--lif`.

Each side is a process of its own. It draws the network anew for each repeat, from another seed, lets it forget its
start, and then runs it; the repeats of the sides alternate. Times of running are processor time of one thread on all
sides, which is also what Brian2's standalone programs report.
"""

import argparse
import dataclasses
import json
import math
import os
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lif_network import NEURONS, STEP_MS, LifSpec, membrane_steps
from lif_network import model as lif_model
from numpy.typing import NDArray
from scipy import sparse, stats
from sparse_network import Spec, build, serve
from sparse_sides import BRIAN, HEADER, NEST, Peer, Side, measure

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, spread

from spikesim.errors import InputError
from spikesim.sparse import Network, Probabilistic, Simulation

SIGNIFICANT = 1e-3
"""Below this p-value two samples are taken to be of different laws."""
AIM, QUIET_LIMIT, LARGE_LIMIT = 5.0, 1.3, 4e9
"""Events a second, ours over Brian2's; time of the quiet network; bytes of the large one."""
OWN = [sys.executable, str(Path(__file__).resolve()), "--worker"]
OWN_LIF = [sys.executable, str(Path(__file__).resolve().parent / "lif_network.py")]


COARSE = {"iaf_cond_exp": 2.0**12, "izhikevich": 2.0**14}
"""Units of 2**-16 mV by which potentials of neurons that are not integrated exactly may differ: those of conductances
by the trapezoidal rule, those of Izhikevich where they rise to a spike."""


def peers(options: argparse.Namespace) -> list[tuple[Peer, str]]:
    """The other sides and their interpreters."""
    given = ((NEST, options.nest), (BRIAN, options.brian))
    return [(peer, python) for peer, python in given if python]


def make_spec(options: argparse.Namespace, delay: tuple[int, int]) -> Spec:
    """The network that the options ask for."""
    given = options.neurons, options.synapses, options.rate / 100, delay, options.leak, options.steps
    return LifSpec(*given, neuron=options.neuron) if options.lif else Spec(*given)


def other_leak(options: argparse.Namespace) -> dict[str, Any]:
    """What the other sides are told of their leak."""
    own = {"leak": options.peer_leak}
    return {**own, "membrane_ms": membrane_steps(options.peer_leak) * STEP_MS} if options.lif else own


def check_potentials(options: argparse.Namespace, peer: Peer, python: str, folder: Path) -> float:
    """Largest difference of potentials that receive the same spikes over the same synapses, in units of 2**-16.

    Integrate-and-fire neurons fire meanwhile. Spikesim carries what its steps round off: a few units, and of irregular
    arrivals about 2**(leak / 2).
    """
    random = np.random.default_rng(0)
    sources, targets, steps = 40, 60, 80
    matrix = sparse.random_array((targets, sources), density=0.2, rng=random, format="csc")
    kind, own = (LifSpec, {"neuron": options.neuron}) if options.lif else (Spec, {})
    spec = kind(
        targets, sources, 0.01, (1, 5), options.leak, steps, mode="potentials", record=str(folder / "seen.npy"), **own
    )
    weight, bias = (4.0 / spec.jump * spec.weight, 0.0) if isinstance(spec, LifSpec) else (0.125, -0.25)
    matrix.data[:] = weight
    delays = matrix.copy()
    delays.data[:] = random.integers(1, 6, matrix.nnz)
    net = Network(dt=STEP_MS)
    source = net.add_source(sources, 0.1)
    neuron = lif_model(spec) if isinstance(spec, LifSpec) else Probabilistic(options.leak, bias)
    cells = net.add_population(targets, neuron)
    net.connect(source, cells, matrix, delay=delays)
    simulation = Simulation(net)
    simulation.record(source)
    simulation.record_potential(cells, np.arange(targets))
    simulation.run(steps)
    spikes, entries = simulation.spikes(source), matrix.tocoo()
    np.savez(
        folder / "given.npz",
        sources=sources, targets=targets, steps=spikes.steps, fired=spikes.neurons,
        i=entries.coords[1], j=entries.coords[0], delays=delays.tocoo().data.astype(int),
    )  # fmt: skip
    other = {"bias": bias, "weight": weight, "arrivals": 0.0, "given": str(folder / "given.npz"), **other_leak(options)}
    Side(peer.name, peer.command(python), spec, **other).close()
    return float(np.abs(simulation.potentials(cells) - np.load(folder / "seen.npy")).max()) * 2**16


def delay_name(delay: tuple[int, int]) -> str:
    """As on the command line."""
    return f"{delay[0]}-{delay[1]}" if delay[1] > delay[0] else f"{delay[0]}"


def describe(spec: Spec) -> str:
    """The network in a line."""
    return (
        f"{spec.neurons:,} neurons with {spec.synapses:,} synapses each, wanted activity {100 * spec.rate:g} % a step, "
        f"delays {delay_name(spec.delay)}, leak {spec.leak}, {spec.steps} steps"
    )


def make_sides(options: argparse.Namespace, spec: Spec, folder: Path) -> list[Side]:
    """Spikesim, and NEST and Brian2 where they are."""
    sides = [Side("spikesim", OWN_LIF if options.lif else OWN, spec)]
    if options.nest:
        own = dataclasses.replace(spec, mode="network")
        sides.append(Side("NEST", NEST.command(options.nest), own, **other_leak(options)))
    modes = {"standalone": "Brian2 C++ standalone", "runtime": "Brian2 Cython runtime"} if options.brian else {}
    for mode, name in modes.items():
        if mode == "standalone" or options.runtime:
            place = folder / f"{mode}-{len(list(folder.iterdir()))}"
            place.mkdir()
            own = dataclasses.replace(spec, mode=mode, folder=str(place))
            sides.append(Side(name, BRIAN.command(options.brian), own, **other_leak(options)))
    return sides


def tell_seconds(sides: list[Side]) -> None:
    """What a second of biological time takes, and how many spikes a neuron fires in it."""
    steps = 1e3 / STEP_MS
    for side in sides:
        taken = spread([steps * milliseconds for milliseconds in side.per_step], 0)
        rates = spread([steps * rate / 100 for rate in side.rates], 2)
        print(f"{side.name}: {taken} ms a biological second, {rates} spikes/s a neuron")


def same_rates(ours: Side, theirs: Side) -> None:
    """Say whether two sides fire alike; end the script if they do not."""
    p = float(stats.ttest_ind(ours.rates, theirs.rates, equal_var=False).pvalue) if len(ours.runs) > 1 else math.nan
    print(
        f"activity over the repeats: {ours.name} {spread(ours.rates)}, {theirs.name} {spread(theirs.rates)} %;"
        f" the same mean: p = {p:.3g} (Welch's t)"
    )
    if p < SIGNIFICANT:
        sys.exit("the two sides do not fire alike: the comparison is void")


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Speed, set-up and memory, for each range of delays."""
    for delay in options.delay:
        spec = make_spec(options, delay)
        print(f"\n{describe(spec)}\n{HEADER}", flush=True)
        sides = make_sides(options, spec, folder)
        measure(sides, options.repeats)
        for side in sides:
            print(side.row(), flush=True)
        for side in redrawn(sides):
            same_rates(sides[0], side)
        for side in sides[1:]:
            pairs = [a / b if b else math.inf for a, b in zip(sides[0].speeds, side.speeds, strict=True)]
            print(f"spikesim over {side.name}: {spread(pairs, 2)} times the events a second", end="")
            print(f" (aim: at least {AIM:g})" if side is sides[1] and not options.lif else "")
        if options.lif:
            tell_seconds(sides)


def redrawn(sides: list[Side]) -> list[Side]:
    """The other sides that draw a network for each repeat."""
    return [side for side in sides[1:] if side.spec.mode != "runtime"]


def quiet(options: argparse.Namespace, folder: Path) -> None:
    """Ten times the neurons at the same number of spikes."""
    base = make_spec(options, options.delay[0])
    more = dataclasses.replace(base, resting=9 * base.neurons)
    print(f"\n{describe(base)}; then with {more.resting:,} more, at rest\n{HEADER}", flush=True)
    few = make_sides(options, base, folder)
    many = make_sides(options, more, folder)
    within = [Side("spikesim", OWN, dataclasses.replace(more, place=place)) for place in ("end", "between")]
    measure([*few, *many, *within], options.repeats)
    for side, place in zip([*many, *within], ["apart"] * len(many) + ["at the end", "in between"], strict=True):
        side.name += f", rest {place}"
    for side in [*few, *many, *within]:
        print(side.row())
    pairs = [*zip(few, many, strict=True), *((few[0], side) for side in within)]
    for before, after in pairs:
        ratios = [
            after_run["seconds"] / before_run["seconds"] * before_run["spikes"] / after_run["spikes"]
            for before_run, after_run in zip(before.runs, after.runs, strict=True)
        ]
        limit = f" (limit {QUIET_LIMIT:g})" if before is few[0] else ""
        print(f"{after.name}: {spread(ratios, 2)} times the time a spike{limit}")
    for side in (many[0], within[0]):  # neither a number of a neuron nor its random numbers change
        if few[0].values("spikes") != side.values("spikes"):
            sys.exit("the neurons at rest change the spikes of the others: the comparison is void")
    print("spikesim: exactly as many spikes with neurons at rest apart or at the end as without them; in between:")
    same_rates(few[0], within[1])


def available_bytes() -> float:
    """Memory that can still be had, as far as the system says."""
    if os.path.exists("/proc/meminfo"):
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return float(line.split()[1]) * 1024
    return math.inf


def large(options: argparse.Namespace, folder: Path) -> None:
    """A million neurons."""
    spec = make_spec(options, options.delay[0])
    wanted = (60 if peers(options) else 30) * spec.neurons * spec.synapses
    if available_bytes() < wanted:
        sys.exit(f"Error: {wanted / 1e9:.1f} GB of memory should be free, {available_bytes() / 1e9:.1f} GB are")
    print(f"\n{describe(spec)}\n{HEADER}", flush=True)
    sides = make_sides(options, spec, folder)
    measure(sides, options.repeats)
    for side in sides:
        print(side.row())
    peak = max(sides[0].values("peak"))
    print(f"spikesim: peak memory {peak / 1e9:.2f} GB (limit {LARGE_LIMIT / 1e9:g} GB)")
    for side in redrawn(sides):
        same_rates(sides[0], side)


def intervals(steps: NDArray[np.int64], neurons: NDArray[np.int64], spec: Spec) -> NDArray[np.int64]:
    """Of every fourth neuron one interval between spikes: the first that begins after a time of its own.

    Intervals of one neuron share its rate, those of many at the same time share input; these are nearly independent.
    The times lie in the first half of the run. What the end cuts off counts as long as the run, on both sides.
    """
    chosen = np.arange(0, spec.neurons, 4)
    begins = np.full(spec.neurons, spec.warm + spec.steps)
    begins[chosen] = spec.warm + np.random.default_rng(0).permutation(len(chosen)) * spec.steps // (2 * len(chosen))
    kept = steps >= begins[neurons]
    order = np.lexsort((steps[kept], neurons[kept]))
    steps, neurons = steps[kept][order], neurons[kept][order]
    starts = np.flatnonzero(np.diff(neurons, prepend=-1))
    starts = starts[starts + 1 < len(neurons)]
    starts = starts[neurons[starts] == neurons[starts + 1]]
    found = np.full(len(chosen), spec.steps)
    found[neurons[starts] // 4] = steps[starts + 1] - steps[starts]
    return found


def law(options: argparse.Namespace, folder: Path) -> None:
    """Rates and intervals of both sides, and whether they are of the same law."""
    spec = make_spec(options, options.delay[0])
    spec = dataclasses.replace(spec, record=str(folder / "spikes.npz"))
    print(f"\n{describe(spec)}; {options.repeats} networks on each side", flush=True)
    gaps: list[NDArray[np.int64]] = []
    counts: list[NDArray[np.int64]] = []
    sides = make_sides(options, spec, folder)
    for side in sides:
        own_gaps, own_counts = [], []
        for repeat in range(options.repeats):
            side.run(repeat + 1)
            with np.load(spec.record) as spikes:
                steps, neurons = spikes["steps"], spikes["neurons"]
            own_gaps.append(intervals(steps, neurons, spec))
            own_counts.append(np.bincount(neurons[steps >= spec.warm], minlength=spec.neurons)[::4])
        gaps.append(np.concatenate(own_gaps))
        counts.append(np.concatenate(own_counts))
        side.close()
        print(
            f"{side.name}: activity {statistics.mean(side.rates):.4f} % a step (standard deviation over networks "
            f"{statistics.stdev(side.rates):.4f}), {len(gaps[-1])} intervals, quartiles "
            f"{' '.join(f'{q:g}' for q in np.quantile(gaps[-1], [0.25, 0.5, 0.75]))} steps; spikes a neuron "
            f"{np.mean(counts[-1]):.2f} with standard deviation {np.std(counts[-1]):.2f}",
            flush=True,
        )
    pooled = np.concatenate(gaps)
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, 21)[1:-1]))
    edges = edges[edges < pooled.max()]  # more than a twentieth of the intervals may be cut off by the end
    table = [np.bincount(np.searchsorted(edges, own), minlength=len(edges) + 1) for own in gaps]
    tests = [
        ("mean rates of networks, Welch's t", stats.ttest_ind(sides[0].rates, sides[1].rates, equal_var=False)),
        ("mean rates of networks, Mann-Whitney", stats.mannwhitneyu(sides[0].rates, sides[1].rates)),
        ("intervals, Kolmogorov-Smirnov", stats.ks_2samp(*gaps)),
        (f"intervals in {len(edges) + 1} bins, chi-square", stats.chi2_contingency(np.array(table))),
        ("spikes a neuron, Kolmogorov-Smirnov", stats.ks_2samp(*counts)),
    ]
    for name, test in tests:
        print(f"{name:44s} statistic {float(test.statistic):10.4f}  p = {float(test.pvalue):.3g}")
    agree = all(test.pvalue > SIGNIFICANT for _, test in tests)
    print(f"the same law: {'yes' if agree else 'NO'} (every p above {SIGNIFICANT:g})")
    if not agree:
        sys.exit(1)


def delay_range(text: str) -> tuple[int, int]:
    """From 3 or 1-4."""
    low, _, high = text.partition("-")
    try:
        found = int(low), int(high or low)
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1] <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of delays such as 1-4 or 2, in 1 .. 4096")
    return found


class Parser(argparse.ArgumentParser):
    """Faults are one line."""

    def error(self, message: str) -> Any:
        """End the script."""
        sys.exit(f"Error: {message}")


DEFAULTS: dict[str, dict[str, int]] = {
    "compare": {"neurons": 20_000, "synapses": 1000, "steps": 500, "repeats": 7},
    "quiet": {"neurons": 20_000, "synapses": 1000, "steps": 500, "repeats": 5},
    "large": {"neurons": 1_000_000, "synapses": 100, "steps": 100, "repeats": 3},
    "law": {"neurons": 2000, "synapses": 100, "steps": 5000, "repeats": 20},
}
LIF_DEFAULTS: dict[str, dict[str, int]] = {
    "compare": {"neurons": 12_500, "synapses": 1250, "steps": 2000, "repeats": 5},
    "law": {"neurons": 2000, "synapses": 100, "steps": 20_000, "repeats": 20},
}
"""Of integrate-and-fire neurons, by Brunel's network; a step is short, and they fire in fewer of them."""


def fill(options: argparse.Namespace) -> None:
    """The defaults that depend on what is measured."""
    lif = options.lif
    defaults: dict[str, Any] = {
        **(LIF_DEFAULTS if lif else DEFAULTS)[options.what],
        "rate": 0.3 if lif else 1.0,
        "delay": [(10, 20), (15, 15)] if lif else [(1, 4), (2, 2)],
        "leak": 8 if lif else 2,
    }
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.peer_leak is None:
        options.peer_leak = options.leak


def parse() -> argparse.Namespace:
    """The options, checked."""
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--brian", metavar="PYTHON", help="interpreter that has Brian2 (without peers: spikesim alone)")
    parser.add_argument("--nest", metavar="PYTHON", help="interpreter that has NEST; with --lif, which it implies")
    parser.add_argument("--lif", action="store_true", help="the balanced network of integrate-and-fire neurons")
    parser.add_argument("--neuron", choices=NEURONS, help="of that network (spikesim and NEST); --lif follows from it")
    parser.add_argument("--runtime", action="store_true", help="also Brian2's Cython runtime mode")
    what: dict[str, Any] = {"dest": "what", "action": "append_const"}
    parser.add_argument("--quiet", **what, const="quiet", help="ten times the neurons, the additional ones at rest")
    parser.add_argument("--large", **what, const="large", help="a million neurons of a hundred synapses")
    parser.add_argument("--law", **what, const="law", help="compare rates and intervals instead of speed")
    parser.add_argument("--neurons", type=int, help="(default: 20000, --lif 12500; a million; 2000 for the law)")
    parser.add_argument("--synapses", type=int, help="of each neuron (default: 1000, --lif 1250; 100; 100)")
    parser.add_argument("--steps", type=int, help="of a repeat (default: 500, --lif 2000; 100; 5000, --lif 20000)")
    parser.add_argument("--repeats", type=int, help="networks drawn, each with a seed of its own")
    parser.add_argument("--rate", type=float, help="wanted activity, per cent a step (default: 1, --lif 0.3)")
    parser.add_argument("--delay", type=delay_range, nargs="+", metavar="STEPS", help="(1-4 and 2; --lif 10-20 and 15)")
    parser.add_argument("--leak", type=int, help="(default: 2, --lif 8)")
    parser.add_argument("--peer-leak", type=int, help="another leak on the other side: --law must notice")
    parser.add_argument("--worker", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.what or ["compare"]
    if len(chosen) > 1:
        parser.error(f"--{chosen[0]} and --{chosen[1]} are measurements of their own; give one of them")
    options.what = chosen[0]
    options.lif = options.lif or options.nest is not None or options.neuron is not None
    options.neuron = options.neuron or "lif"
    if options.lif and options.what in ("quiet", "large"):
        parser.error(f"--{options.what} is a measurement of probabilistic neurons; leave out --lif and --nest")
    fill(options)
    if options.neurons < 10 or options.neurons % 5 or options.synapses < 5 or options.synapses % 5:
        parser.error("--neurons and --synapses must be multiples of 5, and there must be at least 10 neurons")
    if options.steps < 1 or options.repeats < (2 if options.what == "law" else 1):
        parser.error("--steps and --repeats must be positive, and the law takes two repeats at least")
    if not 0 < options.rate <= 20:
        parser.error(f"--rate is {options.rate}; it must be above 0 and at most 20 per cent")
    if not (1 <= options.leak <= 15 and 1 <= options.peer_leak <= 15):
        parser.error("--leak and --peer-leak must be in 1 .. 15")
    if options.what == "law" and not peers(options):
        parser.error("--law compares with Brian2 or NEST: say with --brian or --nest which interpreter has it")
    if options.what == "law" and len(peers(options)) + options.runtime > 1:
        parser.error("--law compares with one other side; give --brian or --nest, without --runtime")
    if options.neuron != "lif" and options.brian:
        parser.error("--neuron runs in spikesim and in NEST; leave out --brian")
    if options.runtime and not options.brian:
        parser.error("--runtime is a mode of Brian2: say with --brian which interpreter has it")
    for peer, python in peers(options):
        if not os.access(python, os.X_OK):
            wanted = f"{peer.option} names the python of an environment with {peer.name}"
            parser.error(f"{python} is no interpreter; {wanted}")
    return options


def main() -> None:
    """Check, measure, print."""
    options = parse()
    if options.worker:
        serve(json.loads(options.worker), Spec, build)
        return
    print(__doc__.splitlines()[0])
    print(machine(("numba", "llvmlite", "numpy")))
    print(shlex.join(["python", "benchmarks/speed/sparse.py", *sys.argv[1:]]), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for peer, python in peers(options):
            print(f"another side: {peer.versions(python)}")
            worst = check_potentials(options, peer, python, folder)
            limit = 5 + 2.0 ** (options.leak / 2)
            if options.neuron in COARSE:
                limit = COARSE[options.neuron]
            print(
                f"same spikes, same synapses: potentials differ by {worst:.2f} of 2**-16 (rounding: at most {limit:g})"
            )
            if worst > limit and options.peer_leak == options.leak:
                sys.exit("the two sides do not compute the same potentials: the comparison is void")
        print("values are medians, with the range of the repeats in brackets; times are processor time of one thread")
        {"compare": compare, "quiet": quiet, "large": large, "law": law}[options.what](options, folder)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"Error: {error}")
