"""`spikesim simulate`: networks from files, what is recorded, stops and resumes."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from commands import assert_one_line, spikesim, start, succeed, wait_until
from scipy import sparse

from spikesim import open_run
from spikesim.cli import main
from spikesim.errors import InputError
from spikesim.runtime.text import counted
from spikesim.sparse import LeakyIntegrateAndFire, Network, Probabilistic, RandomSynapses, Simulation
from spikesim.sparse.description import make_network, read_network
from spikesim.sparse.job import Job
from spikesim.sparse.recording import SimulationReader, state_path

NETWORK = """\
trials = 2
seed = 5

[[population]]
name = "noise"
kind = "source"
size = 40
rate = 0.05

[[population]]
name = "cells"
size = 150
leak = 3
bias = -0.05
record = true
record_potential = [7, 0]

[[population]]
name = "output"
kind = "lif"
size = 10
leak = 2
threshold = 0.5
width = 0.2
reset = -0.25
refractory = 3
poisson = { rate = 0.5, weight = 0.1 }
record = true

[[projection]]
source = "noise"
target = "cells"
number = 20
weight = 0.4
delay = [1, 5]

[[projection]]
source = "cells"
target = "output"
matrix = "weights.npz"
delay = "delays.npz"

[[projection]]
source = "cells"
target = "cells"
number = 5
weight = -0.1
delay = 2
seed = 77
"""


def matrices() -> tuple[Any, Any]:
    weights = sparse.random_array((10, 150), density=0.1, rng=np.random.default_rng(3), format="csc") * 0.3
    delays = weights.copy()
    delays.data = np.arange(len(weights.data)) % 4 + 1
    return weights, delays


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    for name, matrix in zip(("weights", "delays"), matrices(), strict=True):
        sparse.save_npz(folder / f"{name}.npz", matrix)
    (folder / "net.toml").write_text(NETWORK)
    return folder / "net.toml"


@pytest.fixture(scope="module")
def undisturbed(network) -> Path:
    """The file of a simulation that nothing disturbed."""
    out = network.parent / "undisturbed.h5"
    succeed("simulate", network, "--steps", 400, "--out", out, "--threads", 1)
    return out


def content(path: Path) -> dict[str, np.ndarray]:
    """All datasets but the status."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    found.pop("status")
    return found


def assert_same_content(one: Path, other: Path) -> None:
    """The same recordings; spikes in the order of steps, trials and neurons, however they were cut into stretches."""
    first, second, keys = content(one), content(other), ("trial", "step", "neuron")
    assert first.keys() == second.keys()
    for name in first:
        if "/spikes/" not in name:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for population in ("cells", "output"):
        rows = [
            sorted(zip(*(own[f"populations/{population}/spikes/{key}"] for key in keys), strict=True))
            for own in (first, second)
        ]
        assert rows[0] == rows[1] and rows[0]


# -- What a file describes --------------------------------------------------------------------------------------------


def test_a_file_describes_the_network_that_python_builds(network, undisturbed) -> None:
    net = Network()
    noise = net.add_source(40, 0.05, name="noise")
    cells = net.add_population(150, Probabilistic(leak=3, bias=-0.05), name="cells")
    lif = LeakyIntegrateAndFire(leak=2, threshold=0.5, width=0.2, reset=-0.25, refractory=3)
    output = net.add_population(10, lif, name="output")
    net.add_poisson(output, 0.5, 0.1)
    net.connect(noise, cells, RandomSynapses(20, 0.4, (1, 5), seed=5))  # the network's seed plus its position
    weights, delays = matrices()
    net.connect(cells, output, weights, delay=delays)
    net.connect(cells, cells, RandomSynapses(5, -0.1, 2, seed=77))
    twin = Simulation(net, trials=2, seed=5)
    twin.record(cells, output)
    twin.record_potential(cells, [7, 0])
    twin.run(400)
    with SimulationReader(undisturbed) as reader:
        assert (reader.steps, reader.trials, reader.seed, reader.status) == (400, 2, 5, "finished")
        assert reader.populations == ("noise", "cells", "output")
        for trial in range(2):
            for population in net.populations:
                np.testing.assert_array_equal(reader.counts(population.name, trial), twin.counts(population, trial))
            for population in (cells, output):
                found, wanted = reader.spikes(population.name, trial), twin.spikes(population, trial)
                assert len(wanted.steps) > 20
                np.testing.assert_array_equal(found.steps, wanted.steps)
                np.testing.assert_array_equal(found.neurons, wanted.neurons)
            potentials = twin.potentials(cells, trial)
            np.testing.assert_array_equal(reader.potentials("cells", trial), potentials.astype(np.float32))
            assert reader.potentials("noise", trial).shape == (400, 0)
        with pytest.raises(InputError, match="record = true"):
            reader.spikes("noise")
        with pytest.raises(InputError, match="no population 'other'"):
            reader.counts("other")
        with pytest.raises(InputError, match="no trial 2"):
            reader.counts("cells", 2)
    with h5py.File(undisturbed) as file:
        events = [[int(own["events"][trial]) for own in file["projections"].values()] for trial in range(2)]
        assert events == [twin.events(trial).tolist() for trial in range(2)]
        assert file["projections/0"].attrs["synapses"] == 800
        updates = [[int(file[f"populations/{p.name}/updates"][trial]) for p in net.populations] for trial in range(2)]
        assert updates == [twin.updates(trial).tolist() for trial in range(2)]


A = {"name": "a", "size": 4}
AB = {"population": [A, {"name": "b", "size": 3}]}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, "no population"),
    ({"population": A}, "population is"),
    ({"populations": [A]}, "unknown key 'populations'"),
    ({"population": [A], "trials": "2"}, "trials is '2'"),
    ({"population": [A], "trials": True}, "trials is True"),
    ({"population": [A], "seed": -1}, "seed is -1"),
    ({"population": [{"size": 4}]}, "the name of a population is missing"),
    ({"population": [{"name": "a/b", "size": 4}]}, "has no slash"),
    ({"population": [{"name": "..", "size": 4}]}, "has no slash"),
    ({"population": [{"name": "a\nb", "size": 4}]}, "printable"),
    ({"population": [{"name": "a"}]}, "size of a is missing"),
    ({"population": [{"name": "a", "size": 4.0}]}, "size of a is 4.0"),
    ({"population": [{"name": "a", "size": 0}]}, "size of a is 0"),
    ({"population": [A, A]}, "there is a population named 'a' already"),
    ({"population": [A | {"kind": "LIF"}]}, "kind of a is 'LIF'"),
    ({"population": [A | {"threshold": 1.0}]}, "unknown key 'threshold' in a"),
    ({"population": [A | {"kind": "source"}]}, "source without a rate"),
    ({"population": [A | {"kind": "source", "rate": 1.5}]}, "rates reach from 1.5"),
    ({"population": [A | {"kind": "source", "rate": float("nan")}]}, "rate of a is nan; it must be finite"),
    ({"population": [A | {"bias": [0.1, 0.2]}]}, "biases of a have shape (2,)"),
    ({"population": [A | {"bias": "high"}]}, "bias of a is 'high'"),
    ({"population": [A | {"bias": 10**400}]}, "is an integer of 1329 bits"),
    ({"population": [A | {"bias": float("inf")}]}, "bias of a is inf; it must be finite"),
    ({"population": [A | {"leak": 2.5}]}, "leak of a is 2.5"),
    ({"population": [A | {"poisson": 3}]}, "poisson of a is 3"),
    ({"population": [A | {"poisson": {"rate": 99, "weight": 1}}]}, "Poisson rate of a is 99"),
    ({"population": [A | {"record": 1}]}, "record of a is 1"),
    ({"population": [A | {"record_potential": [4]}]}, "record_potential of a is [4]"),
    (AB | {"projection": {"source": "a"}}, "projection is"),
    (AB | {"projection": [{"source": "a"}]}, "the target of a projection is missing"),
    (AB | {"projection": [{"source": "a", "target": "c"}]}, "the populations are a, b"),
    (AB | {"projection": [{"source": "a", "target": "b"}]}, "a -> b needs either a number"),
    (AB | {"projection": [{"source": "a", "target": "b", "number": 1, "matrix": "x"}]}, "needs either a number"),
    (AB | {"projection": [{"source": "a", "target": "b", "number": 1}]}, "weight of the projection a -> b is missing"),
    (AB | {"projection": [{"source": "a", "target": "b", "number": 1, "weight": 1, "delay": [1]}]}, "delay of"),
    (AB | {"projection": [{"source": "a", "target": "b", "number": 1, "weight": 1, "delay": 0}]}, "delays reach"),
    (AB | {"projection": [{"source": "a", "target": "b", "number": 1, "weight": 1, "p": 0}]}, "unknown key 'p'"),
    (AB | {"projection": [{"source": "a", "target": "b", "matrix": "none.npz"}]}, "does not exist"),
    (AB | {"projection": [{"source": "a", "target": "b", "matrix": "net.toml"}]}, "is not a file of scipy.sparse"),
    (AB | {"projection": [{"source": "a", "target": "b", "matrix": "weights.npz"}]}, "has shape (10, 150)"),
    (AB | {"projection": [{"source": "a", "target": "b", "matrix": "weights.npz", "weight": 1}]}, "unknown key"),
]


@pytest.mark.parametrize(("values", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_what_describes_no_network_is_refused(values, message, network) -> None:
    with pytest.raises(InputError) as caught:
        make_network(values, network.parent)
    assert message in str(caught.value) and "\n" not in str(caught.value)


# -- The command ------------------------------------------------------------------------------------------------------


def test_threads_do_not_change_the_result(network, undisturbed, tmp_path) -> None:
    succeed("simulate", network, "--steps", 400, "--out", tmp_path / "run.h5", "--threads", 2)
    assert_same_content(tmp_path / "run.h5", undisturbed)


def test_going_on_to_more_steps(network, undisturbed, tmp_path) -> None:
    out = tmp_path / "run.h5"
    for steps in (1, 150, 400):
        result = succeed("simulate", network, "--steps", steps, "--out", out, "--resume")
        assert f"{counted(steps, 'step')}, 2 trials" in result.stdout
    assert_same_content(out, undisturbed)
    succeed("simulate", network, "--steps", 400, "--out", out, "--resume")  # nothing is left to do
    assert_same_content(out, undisturbed)
    result = spikesim("simulate", network, "--steps", 300, "--out", out, "--resume")
    assert_one_line(result, "steps is 300", "400")


def test_killed_and_resumed(network, tmp_path) -> None:
    """Also when steps were recorded after the state was saved last, and before it was saved at all."""
    whole, out = tmp_path / "whole.h5", tmp_path / "run.h5"
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        old = out.stat().st_ino if out.exists() else -1
        process = start("simulate", network, "--steps", 10**9, "--out", out, "--resume")
        wait_until(lambda old=old: out.exists() and out.stat().st_ino != old and recorded(out) > 500, process)
        assert not state_path(out).exists(), "a minute is not over"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert 500 < recorded(out) < 10**9
    assert process.returncode == 75 and "--resume" in errors
    steps = recorded(out) + 500
    succeed("simulate", network, "--steps", steps, "--out", out, "--resume")
    succeed("simulate", network, "--steps", steps, "--out", whole)
    assert_same_content(out, whole)


def recorded(path: Path) -> int:
    """Steps in a file that another process may be writing."""
    with SimulationReader(path) as reader:
        return reader.steps


def test_a_state_older_than_the_file_cuts_the_file(network, undisturbed, tmp_path) -> None:
    out = tmp_path / "run.h5"
    job = Job(read_network(network), out)
    job.run(100)
    old = state_path(out).read_bytes()
    job = Job(read_network(network), out, resume=True)
    job.run(250)
    state_path(out).write_bytes(old)
    job = Job(read_network(network), out, resume=True)
    assert job.simulation.step == 100
    job.run(400)
    assert_same_content(out, undisturbed)


def test_stops_between_stretches_and_says_so(network, tmp_path) -> None:
    job = Job(read_network(network), tmp_path / "run.h5")
    started = time.monotonic()
    with pytest.raises(Exception, match="Stopped after"):
        job.run(10**8, lambda progress: job.request_stop())
    assert time.monotonic() - started < 60
    with SimulationReader(tmp_path / "run.h5") as reader:
        assert reader.status == "stopped" and 0 < reader.steps < 10**8


def refused(*arguments: object) -> str:
    result = spikesim("simulate", *arguments)
    assert_one_line(result)
    assert not result.stdout
    return result.stderr


def test_files_that_exist_are_kept(network, undisturbed, tmp_path) -> None:
    before = undisturbed.read_bytes()
    command = (network, "--steps", 10, "--out")
    assert "--resume continues it" in refused(*command, undisturbed)
    assert "another network" in refused(*command, undisturbed, "--resume", "--overwrite", "--seed", 6)
    assert "another network" in refused(*command, undisturbed, "--resume", "--seed", 6)
    assert undisturbed.read_bytes() == before
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert "not the file of a simulation" in refused(*command, other, "--overwrite")
    assert "not an HDF5 file" in refused(*command, other, "--resume")
    assert other.read_text() == "mine"
    assert "cannot read" in refused(tmp_path / "none.toml", "--steps", 1, "--out", tmp_path / "x.h5")
    assert "does not exist" in refused(*command, tmp_path / "none" / "x.h5")
    assert not (tmp_path / "x.h5").exists()


def test_overwriting_starts_anew(network, tmp_path) -> None:
    out = tmp_path / "run.h5"
    Job(read_network(network), out).run(50)
    Job(read_network(network, seed=6), out, overwrite=True).run(20)
    with SimulationReader(out) as reader:
        assert (reader.steps, reader.seed) == (20, 6)
        other = reader.counts("cells").tolist()
    Job(read_network(network), out, overwrite=True).run(20)
    with SimulationReader(out) as reader:
        assert reader.counts("cells").tolist() != other


@pytest.mark.parametrize(
    ("column", "shape", "read"),
    [
        ("spikes/step", (400, 2), SimulationReader.spikes),
        ("counts", (400,), SimulationReader.counts),
        ("potentials", (400, 9, 2), SimulationReader.potentials),
    ],
)
def test_columns_of_another_shape_are_damage(undisturbed, tmp_path, column, shape, read) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(undisturbed, path)
    with h5py.File(path, "r+") as file:
        dtype = file[f"populations/cells/{column}"].dtype
        del file[f"populations/cells/{column}"]
        file.create_dataset(f"populations/cells/{column}", data=np.zeros(shape, dtype), chunks=True)
    with SimulationReader(path) as reader, pytest.raises(InputError, match="has rows of shape"):
        read(reader, "cells")


def test_a_state_that_does_not_fit_the_file_is_refused(network, tmp_path) -> None:
    out = tmp_path / "run.h5"
    Job(read_network(network), out).run(50)
    late = state_path(out).read_bytes()
    Job(read_network(network), out, overwrite=True).run(20)
    state_path(out).write_bytes(late)
    with pytest.raises(InputError, match="do not belong together"):
        Job(read_network(network), out, resume=True).run(100)
    state_path(out).write_bytes(b"garbage")
    with pytest.raises(InputError, match="not an HDF5 file"):
        Job(read_network(network), out, resume=True)


@pytest.mark.parametrize("steps", [20, 600])
def test_a_finished_file_without_its_state_is_kept(steps, network, undisturbed, tmp_path) -> None:
    out = tmp_path / "run.h5"
    shutil.copy(undisturbed, out)
    before = out.read_bytes()
    assert "has 400 steps and is finished, but its state run.h5.state is missing" in refused(
        network, "--steps", steps, "--out", out, "--resume"
    )
    assert out.read_bytes() == before and not state_path(out).exists()
    Job(read_network(network), out, overwrite=True).run(steps)
    assert recorded(out) == steps


def test_a_file_is_never_made_shorter(network, tmp_path) -> None:
    """Nor where its state is older than the file, nor where it was killed before it had a state."""
    out = tmp_path / "run.h5"
    Job(read_network(network), out).run(100)
    old = state_path(out).read_bytes()
    Job(read_network(network), out, resume=True).run(250)
    state_path(out).write_bytes(old)
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"steps is 200, and .*run\.h5 has 250 of them already"):
        Job(read_network(network), out, resume=True).run(200)
    assert out.read_bytes() == before
    state_path(out).unlink()
    with h5py.File(out, "r+") as file:
        file["status"][...] = 0  # as a kill leaves it
    with pytest.raises(InputError, match="has 250 of them already"):
        Job(read_network(network), out, resume=True).run(249)
    job = Job(read_network(network), out, resume=True)
    assert "has 250 steps but no state was saved" in job.note
    job.run(251)
    assert recorded(out) == 251


def test_a_state_without_its_file_is_not_thrown_away(network, tmp_path) -> None:
    out = tmp_path / "run.h5"
    Job(read_network(network), out).run(30)
    out.rename(tmp_path / "moved.h5")
    before = state_path(out).read_bytes()
    with pytest.raises(InputError, match=r"run\.h5 does not exist, but its state run\.h5\.state does"):
        Job(read_network(network), out, resume=True)
    assert state_path(out).read_bytes() == before
    (tmp_path / "moved.h5").rename(out)
    Job(read_network(network), out, resume=True).run(40)
    assert recorded(out) == 40


def test_info_shows_what_was_simulated_and_others_say_what_it_is(undisturbed, tmp_path) -> None:
    lines = succeed("info", undisturbed).stdout.splitlines()
    with SimulationReader(undisturbed) as reader:
        spikes = sum(int(reader.counts("cells", trial).sum()) for trial in range(2))
        assert reader.total("cells") == spikes and reader.neurons("cells") == 150
        events = reader.projections()[0].events
    with h5py.File(undisturbed) as file:
        assert events == file["projections/0/events"][()].sum()
    assert "state:       finished, 400 steps" in lines and "trials:      2" in lines
    share = spikes / (150 * 400 * 2)
    assert (
        f"  cells      150 neurons, {spikes} spikes, {share:.4%} fire in a step, recorded: spikes and potentials"
        in lines
    )
    assert f"  0: noise -> cells, 800 synapses, {events} events" in lines
    assert '  population.1.name = "cells"' in lines and "  projection.0.delay = [1, 5]" in lines
    result = CliRunner().invoke(main, ["evaluate", str(undisturbed)])
    assert result.exit_code == 2
    assert f"{undisturbed} is a file of 'spikesim simulate', which 'spikesim report' shows" in result.output
    with pytest.raises(InputError, match=r"undisturbed\.h5\.state is the state of a simulation"):
        SimulationReader(state_path(undisturbed))
    with pytest.raises(InputError, match="is the state of a simulation"):
        open_run(state_path(undisturbed))


def test_more_steps_than_can_be_are_refused_before_the_first(network, tmp_path) -> None:
    with pytest.raises(InputError, match="steps is 4294967296"):
        Job(read_network(network), tmp_path / "run.h5").run(2**32)
    assert not (tmp_path / "run.h5").exists()


@pytest.mark.parametrize("network_text", ['{"population": [["name", "a"]]}', '{"population": {"name": "a"}}', "[1]"])
def test_a_description_that_is_none_is_damage(network_text, undisturbed, tmp_path) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(undisturbed, path)
    with h5py.File(path, "r+") as file:
        del file["network"]
        file.create_dataset("network", data=np.bytes_(network_text.encode()))
    with pytest.raises(InputError, match="is damaged"):
        SimulationReader(path)


def tear(path: Path, signature: bytes) -> bytes:
    """Spoil one of HDF5's structures, which end with a checksum; the new content."""
    data = bytearray(path.read_bytes())
    data[data.index(signature) + 20] ^= 255
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("signature", [b"OHDR", b"EAHD"])
@pytest.mark.parametrize("saved", [True, False])
def test_a_damaged_file_is_kept_and_simulated_again(signature, saved, network, undisturbed, tmp_path) -> None:
    out = tmp_path / "run.h5"
    Job(read_network(network), out).run(50)
    if not saved:  # killed within the first minute
        state_path(out).unlink()
    damaged = tear(out, signature)
    job = Job(read_network(network), out, resume=True)
    assert job.simulation.step == 0
    with pytest.warns(UserWarning, match=r"run\.h5 is damaged \(.*it is kept as .*run\.h5\.damaged"):
        job.run(400)
    assert_same_content(out, undisturbed)
    assert out.with_name("run.h5.damaged").read_bytes() == damaged


def test_one_writer_at_a_time(network, tmp_path) -> None:
    out = tmp_path / "run.h5"
    job = Job(read_network(network), out)

    def second(progress: object) -> None:
        with pytest.raises(InputError, match="is being written by"):
            Job(read_network(network), out, overwrite=True).run(5)

    job.run(3, second)
    assert recorded(out) == 3
