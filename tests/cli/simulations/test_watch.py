"""`spikesim watch SIM.h5`: a simulation that another process writes."""

import re
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

from spikesim.cli import main
from spikesim.cli.simulations.watching import follow_simulation
from spikesim.sparse import SimulationReader
from spikesim.sparse.description import read_network
from spikesim.sparse.job import Job


def test_a_simulation_in_progress_is_followed_to_its_end(simulation, tmp_path) -> None:
    out, looks = tmp_path / "live.h5", []

    def look(progress: object) -> None:
        """While the job holds the lock and the file grows."""
        found = next(follow_simulation(out, 0.1))
        looks.append((found, recent_rate(out, found.recent)))

    Job(read_network(simulation.parent / "net.toml"), out).run(1500, look)
    assert len(looks) > 1 and {found.state for found, _ in looks} == {"running"}
    for found, rate in looks:
        assert found.holder and found.recent == min(found.steps, 1000)
        assert found.populations[1].rate == pytest.approx(rate)
    assert looks[0][0].steps < looks[-1][0].steps == 1500
    (last,) = follow_simulation(out, 0.1)
    assert (last.state, last.holder, last.steps, last.rate_unit) == ("finished", None, 1500, "spikes per step")


def recent_rate(path: Path, steps: int) -> float:
    """Of the cells, over the last steps."""
    with SimulationReader(path) as reader:
        return sum(int(reader.counts("cells", trial)[-steps:].sum()) for trial in range(2)) / (150 * 2 * steps)


@pytest.mark.parametrize(
    ("status", "code", "end"),
    [(2, 0, "finished"), (1, 75, "stopped; the same command with --resume"), (0, 75, "was killed or has crashed")],
)
def test_it_ends_as_the_simulation_does(timed, tmp_path, status, code, end) -> None:
    path = tmp_path / "sim.h5"
    shutil.copy(timed, path)
    with h5py.File(path, "r+") as file:
        file["status"][...] = status
    found = CliRunner().invoke(main, ["watch", str(path), "--interval", "0.1"])
    assert found.exit_code == code and end in found.output
    line = found.output.splitlines()[0]
    assert re.match(r"600 steps \(300 ms\); last 600 steps: noise [\d.]+ Hz, cells [\d.]+ Hz, output [\d.]+ Hz$", line)
