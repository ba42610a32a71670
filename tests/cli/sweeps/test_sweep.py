"""``spikesim sweep`` as a user types it, and that what it begins goes on on a cluster, and the other way round."""

import signal
from pathlib import Path

import pytest
import runs
from click.testing import CliRunner
from commands import CONFIG, assert_one_line, newest_checkpoint, spikesim, start, wait_until

from spikesim.cli import main
from spikesim.cli.commands.batch import sweep as command
from spikesim.ep.config.parsing import make_config, merge
from spikesim.ep.runs.reader import RunReader
from spikesim.io.lock import RunLock
from spikesim.io.toml import tomllib


def test_a_sweep_is_stopped_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    out = tmp_path / "runs"
    given = ("sweep", "--seeds", "4", "--", "train", "--config", tmp_path / "tiny.toml", "--out", out,
             "--checkpoint-every", 1)  # fmt: skip
    process = start(*given)
    wait_until(lambda: newest_checkpoint(out / "seed-4.h5") > 0, process)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 75 and printed == ""
    assert told.splitlines()[0].startswith(f"1 member in {out}: 1 to start; 1 at a time, ")
    assert told.splitlines()[1:3] == ["seed-4: started", "seed-4: stopped"]
    with RunReader(out / "seed-4.h5") as run:
        assert run.status == "stopped"
    result = CliRunner().invoke(main, list(map(str, given)))
    first, goes_on, finished, last = result.output.splitlines()
    assert result.exit_code == 0 and "1 to resume" in first and goes_on == "seed-4: resumed"
    assert "test accuracy" in finished and finished.endswith("(1 of 1)") and last == "1 of 1 member finished"
    assert "resuming" in (out / "seed-4.log").read_text()


def test_a_member_that_fails_is_named_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\ncase "$*" in *seed=1*) echo "Error: it is wrong" >&2; exit 2;; esac\n')
    program.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(program))
    out = tmp_path / "runs"
    result = CliRunner().invoke(main, ["sweep", "--seeds", "0-2", "--jobs", "1", "--", "train", "--out", str(out)])
    assert result.exit_code == 1
    assert [line.partition(" in 0:")[0] for line in result.output.splitlines()[1:]] == [
        "seed-0: started",
        "seed-0: finished",
        "seed-1: started",
        f"seed-1: failed (exit code 2): Error: it is wrong ({out}/seed-1.log)",
        "seed-2: started",
        "seed-2: finished",
        "2 of 3 members finished; failed: seed-1",
    ]
    with RunLock(out / "seed-1.h5"):
        result = CliRunner().invoke(main, ["sweep", "--seeds", "1", "--", "train", "--out", str(out)])
        assert result.exit_code == 75 and "1 in progress elsewhere" in result.output


def planned(tmp_path: Path, *seeds: int) -> tuple[str, ...]:
    """Finished members of a sweep, and the command line that asks for three."""
    (tmp_path / "tiny.toml").write_text(CONFIG)
    for seed in seeds:
        config = make_config(merge(tomllib.loads(CONFIG), [("seed", seed)])).to_dict()
        runs.write_run(tmp_path / "runs" / f"seed-{seed}.h5", 8, config=config)
    train = ("train", "--config", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "runs"))
    return ("--seeds", "0-2", "--", *train)


def test_what_is_begun_here_goes_on_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    given = planned(tmp_path, 0, 2)
    script = CliRunner().invoke(main, ["submit", "--unfinished", "--dry-run", *given]).output
    assert "#SBATCH --array=1\n" in script and f"--set seed=1 --out {tmp_path}/runs/seed-1.h5 ;;" in script
    assert not (tmp_path / "runs" / "sweep.json").exists(), "a dry run writes nothing"
    planned(tmp_path, 1)
    result = CliRunner().invoke(main, ["submit", "--unfinished", *given])
    assert result.exit_code == 0 and "nothing to submit" in result.output
    result = CliRunner().invoke(main, ["sweep", *given])
    assert result.exit_code == 0 and result.output.splitlines()[-1] == "3 of 3 members finished"


@pytest.mark.parametrize(
    ("jobs", "threads", "members", "share"),
    [
        (None, None, 20, (8, 1)),
        (None, None, 3, (3, 2)),
        (None, 4, 20, (2, 4)),
        (None, 16, 20, (1, 16)),
        (2, None, 20, (2, 4)),
        (20, None, 20, (20, 1)),
        (3, 3, 20, (3, 3)),
        (None, None, 0, (1, 8)),
    ],
)
def test_members_share_the_cores(
    jobs: int | None, threads: int | None, members: int, share: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    assert command._share(jobs, threads, members) == share


def test_what_cannot_be_swept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text("[grid]\ndynamics.beta = [0.1, -4]\n")
    train = ("--", "train", "--arch", "conv", "--out", tmp_path / "runs")
    for arguments, fragment in (
        (train, "give a SWEEP.toml, or --seeds"),
        ((tmp_path / "sweep.toml",), "there is no command"),
        ((tmp_path / "sweep.toml", *train), "member beta--4 of the sweep: dynamics.beta is -4"),
        (("--seeds", 1, *train, "--overwrite"), "--overwrite"),
        (("--seeds", 1, *train, "--dataset", "nothere.npz"), "nothere.npz is not found"),
        (("--seeds", 1, "--", "report", "run.h5"), "'report' cannot be swept"),
        (("--seeds", 1, "--search-seed", 2, *train), "random search"),
    ):
        result = CliRunner().invoke(main, ["sweep", *map(str, arguments)])
        assert result.exit_code == 2 and fragment in result.output.splitlines()[-1], result.output
    assert_one_line(spikesim("sweep", "--seeds", "4-1", *train), "--seeds is '4-1'")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]
