"""Batch jobs on a real Slurm that the tests start: sent, shared by two nodes, swept, requeued, preempted, cancelled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import CONFIG, digest, newest_checkpoint, spikesim, succeed, wait_for
from slurm_cluster import Cluster, missing

from spikesim.ep.runs.reader import RunReader

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a Slurm is here")

EPOCHS = 12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(CONFIG)
    succeed("train", *train_of(folder), "--out", folder / "run.h5", "--threads", 1)
    return folder / "run.h5"


def train_of(folder: Path) -> tuple[object, ...]:
    return "--config", folder / "tiny.toml", "--epochs", EPOCHS, "--checkpoint-every", 3


def submit(cluster: Cluster, options: tuple[object, ...], train: tuple[object, ...]) -> str:
    """Send a job that finds the compiled kernels of the tests; its number."""
    kernels = "--setup", "unset NUMBA_CACHE_DIR"
    result = succeed("submit", *kernels, *options, "--", "train", *train, env=environment_of(cluster))
    assert result.stdout.splitlines()[0].endswith(".sbatch")
    return result.stdout.splitlines()[-1].removeprefix("job: ")


def environment_of(cluster: Cluster) -> dict[str, str]:
    return {name: cluster.environment[name] for name in ("PATH", "SLURM_CONF")}


def log_of(run: Path) -> str:
    return Path(f"{run}.log").read_text()


def test_a_job_runs_to_the_same_result(cluster: Cluster, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "my run.h5"
    number = submit(cluster, ("--time", 10, "--cpus-per-task", 2), (*train_of(undisturbed.parent), "--out", run))
    job = cluster.wait_for(number, "COMPLETED", "FAILED")
    assert job["JobState"] == "COMPLETED", log_of(run)
    assert digest(run) == digest(undisturbed)
    assert "2 threads" in log_of(run), "those of the allocation"


def test_ranks_on_two_nodes(cluster: Cluster, undisturbed: Path, tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    run = tmp_path / "run.h5"
    options = ("--nodes", 2, "--mpi", "pmix")
    number = submit(cluster, options, (*train_of(undisturbed.parent), "--out", run))
    job = cluster.wait_for(number, "COMPLETED", "FAILED")
    assert job["JobState"] == "COMPLETED", log_of(run)
    assert job["NumNodes"] == "2" and "2 processes of 1 thread" in log_of(run)
    assert digest(run) == digest(undisturbed)


@pytest.mark.parametrize("how", ["warned", "preempted"])
def test_a_job_that_is_stopped_queues_again_and_goes_on(
    how: str, cluster: Cluster, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.h5"
    options = ("--cpus-per-task", 4, "--partition", "low", "--sbatch", "--nodelist=n0")
    number = submit(cluster, options, (*train_of(undisturbed.parent), "--out", run))
    wait_for(lambda: newest_checkpoint(run) > 0)
    if how == "warned":  # as Slurm does some time before the end
        cluster.call("scancel", "--signal=USR1", number)
    else:
        cluster.call("sbatch", "--partition=high", "--nodelist=n0", "--exclusive", "--output=/dev/null", "--wrap=true")
    job = cluster.wait_for(number, "COMPLETED", "FAILED")
    assert job["JobState"] == "COMPLETED", log_of(run)
    assert job["Restarts"] == "1", log_of(run)
    assert "resuming" in log_of(run)
    assert digest(run) == digest(undisturbed)


def test_a_cancelled_job_leaves_a_checkpoint_and_does_not_come_back(
    cluster: Cluster, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.h5"
    number = submit(cluster, (), (*train_of(undisturbed.parent), "--out", run))
    wait_for(lambda: newest_checkpoint(run) > 0)
    cluster.call("scancel", number)
    cluster.wait_for(number, "CANCELLED")
    wait_for(lambda: not Path(f"{run}.lock").exists())
    with RunReader(run) as reader:
        assert reader.status == "stopped"
    job = cluster.job(number)
    assert job["JobState"] == "CANCELLED" and job["Restarts"] == "0"


def test_a_sweep_and_its_failed_members_again(cluster: Cluster, undisturbed: Path, tmp_path: Path) -> None:
    sweep, out = tmp_path / "sweep.toml", tmp_path / "runs"
    sweep.write_text("[grid]\nseed = [0, 1, 2]\n")
    options = ("--sweep", sweep, "--at-a-time", 2)
    train = (*train_of(undisturbed.parent), "--epochs", 1, "--out", out)
    in_the_way = f"[ -e {out}/seed-1.h5 ] || echo no run file > {out}/seed-1.h5"  # after `submit` has looked
    number = submit(cluster, (*options, "--setup", in_the_way), train)
    states = [cluster.wait_for(f"{number}_{member}", "COMPLETED", "FAILED")["JobState"] for member in range(3)]
    assert states == ["COMPLETED", "FAILED", "COMPLETED"]
    assert "seed-1.h5" in (out / "seed-1.log").read_text()
    (out / "seed-1.h5").unlink()
    again = submit(cluster, (*options, "--unfinished"), train)
    assert "#SBATCH --array=1%2\n" in (out / "sweep.sbatch").read_text()
    assert cluster.wait_for(f"{again}_1", "COMPLETED", "FAILED")["JobState"] == "COMPLETED"
    nothing = succeed("submit", *options, "--unfinished", "--", "train", *train, env=environment_of(cluster))
    assert "nothing to submit" in nothing.stdout


def test_what_slurm_refuses_is_one_line(cluster: Cluster, undisturbed: Path, tmp_path: Path) -> None:
    result = spikesim(
        "submit", "--partition", "nowhere", "--", "train", *train_of(undisturbed.parent), "--out", tmp_path / "run.h5",
        env=environment_of(cluster),
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "sbatch refused" in line and "partition" in line
