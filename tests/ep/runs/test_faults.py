"""What machines do to a run: a small disk that fills up, a file system without locks, a clock that jumps."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import faultshim
import journals
import pytest
from commands import (
    CONFIG,
    SECONDS,
    assert_one_line,
    digest,
    environment,
    newest_checkpoint,
    python_process,
    spikesim,
    succeed,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(CONFIG)
    succeed(*train(folder), "--out", folder / "run.h5")
    return folder / "run.h5"


def train(folder: Path) -> tuple[object, ...]:
    return "train", "--config", folder / "tiny.toml", "--threads", 1, "--checkpoint-every", 1


def mount(*arguments: object) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file system of its own, of 16 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not mount("-t", "tmpfs", "-o", "size=16k", "tmpfs", folder):
        pytest.skip("needs to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_small_disk_fills_up_at_every_size_and_nothing_is_lost(undisturbed: Path, small_disk: Path) -> None:
    """The disk is given room bit by bit; each time the run goes as far as it can."""
    command = (*train(undisturbed.parent), "--resume", "--out", small_disk / "run.h5")
    reached, refused = -1, 0
    for kilobytes in (64, 512, 1024, 1536, 2048, 3072, 16384):
        assert mount("-o", f"remount,size={kilobytes}k", small_disk)
        result = spikesim(*command)
        if result.returncode == 0:
            break
        assert_one_line(result, "cannot write")
        refused += 1
        assert newest_checkpoint(small_disk / "run.h5") >= reached, "an earlier checkpoint was given up"
        reached = newest_checkpoint(small_disk / "run.h5")
    assert refused >= 2
    assert digest(small_disk / "run.h5") == digest(undisturbed)


def test_a_disk_that_is_read_only(undisturbed: Path, small_disk: Path) -> None:
    """Nothing can be begun or continued there, in one line; what is there can be read."""
    assert mount("-o", "remount,size=16m", small_disk)
    shutil.copy(undisturbed, small_disk / "run.h5")
    assert mount("-o", "remount,ro", small_disk)
    for out, *options in (("new.h5",), ("run.h5", "--overwrite"), ("run.h5", "--resume")):
        result = spikesim(*train(undisturbed.parent), "--out", small_disk / out, *options)
        assert_one_line(result, "Read-only file system")
    assert digest(small_disk / "run.h5") == digest(undisturbed)
    succeed("report", small_disk / "run.h5")
    assert os.listdir(small_disk) == ["run.h5"]


def with_patch(folder: Path, text: str) -> dict[str, str]:
    """An environment in which every Python process runs some lines first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{environment({})['PYTHONPATH']}"}


# File systems that cannot do everything


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which file systems have faults (`faultshim.c`)."""
    return {"LD_PRELOAD": str(faultshim.build(tmp_path_factory.mktemp("shim")))}


def faulty(shim: dict[str, str], code: str, *arguments: object) -> str:
    """What a Python with such file systems prints."""
    process = python_process(code, *arguments, env_changes=shim)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, f"exit code {process.returncode}: {errors}"
    return output


LITTLE = {
    "FAULT_FLOCK": errno.ENOLCK,
    "FAULT_FOLDERSYNC": errno.EINVAL,
    "FAULT_FILESYNC": errno.EINVAL,
    "FAULT_FALLOCATE": errno.EOPNOTSUPP,
    "FAULT_RENAME": errno.ETXTBSY,
    "FAULT_LINK": errno.EPERM,
    "FAULT_CHMOD": errno.EPERM,
}
"""A file system that can do nothing but read and write."""


def test_a_file_system_that_can_do_little(undisturbed: Path, shim: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run.h5"
    env = shim | {name: str(code) for name, code in LITTLE.items()}
    result = succeed(*train(undisturbed.parent), "--checkpoint-every", 9, "--out", run, env=env)
    assert f"the file system of {run} has no locks (No locks available)" in result.stderr
    assert digest(run) == digest(undisturbed)
    assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.h5.checkpoints"]


WRITERS = """
    import itertools, os, sys, tempfile, warnings
    from pathlib import Path
    import journals
    import numpy as np
    from runs import LAYERS
    from spikesim.ep.exchange.output import write_output
    from spikesim.ep.exchange.spikes import Recording, write_nirdata, write_sonata
    from spikesim.ep.inputs.teacher import read_teacher, write_teacher
    from spikesim.errors import InputError
    from spikesim.ep.reports.files import write_files
    from spikesim.sparse.description import make_network
    from spikesim.sparse.recorder import SimulationWriter
    from spikesim.sparse.recording import SimulationReader
    from spikesim.sparse.simulation import Simulation

    warnings.simplefilter("ignore")
    none = np.zeros(0, np.int64)
    spikes = Recording("", 1, 2, (0,), list(LAYERS), np.zeros(9, np.int64), *(np.arange(9) % 2 for _ in range(3)))
    description = make_network({"population": [{"name": "c", "size": 9, "bias": 0.5, "record": True}]}, Path())

    def simulation(out):
        own = Simulation(description.network)
        own.record(*description.recorded)
        own.run(3)
        with SimulationWriter(out, description, Simulation(description.network)) as writer:
            writer.append(own)
            own.save(out.with_suffix(".state"))
            writer.close("finished")
        SimulationReader(out).close()

    def teacher(out):
        write_teacher(out, np.zeros((20, 10)), "patterns")
        read_teacher(out)

    def sonata(out):
        write_output(out, lambda path: write_sonata(path, spikes, 1.0), overwrite=False)

    def nirdata(out):
        write_output(out, lambda path: write_nirdata(path, spikes, 1.0), overwrite=False)

    def page(out):
        write_files({out: b"page"}, overwrite=False)

    others = [simulation, teacher, sonata, page]
    try:
        import nir
    except ImportError:
        pass
    else:
        others.append(nirdata)
"""


def test_every_writer_on_file_systems_that_lack_one_thing(shim: dict[str, str], tmp_path: Path) -> None:
    """What is written is as it would be elsewhere, and nothing is left beside it."""
    code = (
        WRITERS
        + """
    wanted = {}
    for fault in ["", *sys.argv[2:]]:
        folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
        name, _, number = fault.partition("=")
        os.environ[name or "NOTHING"] = number
        journals.run(folder / "run.h5")
        for work in others:
            work(folder / work.__name__)
        os.environ.pop(name or "NOTHING")
        assert wanted.setdefault("digest", journals.digest(folder / "run.h5")) == journals.digest(folder / "run.h5")
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        assert wanted.setdefault("names", names) == names, (fault, names)
        print(fault)
    """
    )
    locks = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, 524, errno.EINVAL, errno.EIO]
    unsupported = [errno.EINVAL, errno.EOPNOTSUPP]
    faults = [
        *(f"FAULT_FLOCK={code}" for code in locks),
        *(f"{call}={code}" for call in ("FAULT_FOLDERSYNC", "FAULT_FALLOCATE") for code in unsupported),
        f"FAULT_FILESYNC={errno.EINVAL}",
        f"FAULT_RENAME={errno.ETXTBSY}",
        f"FAULT_LINK={errno.EPERM}",
        f"FAULT_CHMOD={errno.EPERM}",
    ]
    assert faulty(shim, code, tmp_path, *faults).split() == faults


def test_python_without_a_call_to_set_room_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    journals.run(tmp_path / "whole.h5")
    monkeypatch.delattr(os, "posix_fallocate")
    journals.run(tmp_path / "run.h5")
    assert journals.digest(tmp_path / "run.h5") == journals.digest(tmp_path / "whole.h5")
    assert (tmp_path / "run.h5").stat().st_size == (tmp_path / "whole.h5").stat().st_size


# Disks that fail


def test_a_write_that_fails_is_told_and_loses_nothing(shim: dict[str, str], tmp_path: Path) -> None:
    """One write or sync alone, or all from there on: one line, and the run goes on to the same digest."""
    code = """
    import os, sys
    from pathlib import Path
    import journals
    from spikesim.errors import InputError

    folder = Path(sys.argv[1])
    journals.run(folder / "whole.h5")
    wanted = journals.digest(folder / "whole.h5")
    for later in ("", "+"):
        number = reached = 0
        while number < 2000:
            number += 1 if number < 3 else 2 + number // (1 if later else 2)
            out = folder / f"run{number}{'on' * len(later)}.h5"
            os.environ["FAULT_IO"] = f"{out.name}:{number}{later}"
            told = ""
            try:
                journals.run(out)
            except InputError as error:
                told = str(error)
                assert "cannot write" in told and "Input/output error" in told and "\\n" not in told, told
            del os.environ["FAULT_IO"]
            if told:
                reached = number
            else:
                assert journals.digest(out) == wanted
            journals.run(out, resume=True)
            assert journals.digest(out) == wanted, number
            if not told and number > 3:  # the first ones are those of the lock, which can do without
                break
        print(reached)
    """
    reached = faulty(shim, code, tmp_path).split()
    assert len(reached) == 2 and min(map(int, reached)) > 300


def test_other_writers_tell_each_write_that_fails(shim: dict[str, str], tmp_path: Path) -> None:
    """Nothing that was not written whole is left under the name of what was to be written."""
    code = (
        WRITERS
        + """
    for work in others:
        for number in itertools.count(1):
            folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
            os.environ["FAULT_IO"] = f"{folder.name}:{number}"
            try:
                work(folder / work.__name__)
                told = ""
            except InputError as error:
                told = str(error)
                assert "cannot" in told and "nput/output error" in told and "\\n" not in told, told
            del os.environ["FAULT_IO"]
            if not told and number > 2:
                break
            assert work is simulation or not told or os.listdir(folder) in ([], [work.__name__]), os.listdir(folder)
        print(work.__name__, number)
    """
    )
    counts = dict(line.split() for line in faulty(shim, code, tmp_path).splitlines())
    assert int(counts["teacher"]) > 3 and int(counts["simulation"]) > 20 and int(counts["sonata"]) > 10


def test_killed_within_a_write(shim: dict[str, str], tmp_path: Path) -> None:
    """The file has the part before the page's end, of structures that have a checksum; the run goes on."""
    code = """
    import os, signal, sys
    from pathlib import Path
    import journals

    folder = Path(sys.argv[1])
    journals.run(folder / "whole.h5")
    wanted = journals.digest(folder / "whole.h5")
    killed = anew = 0
    for number in (1, 6, 9, 12, 17, 22, 27):
        out = folder / f"run{number}.h5"
        child = os.fork()
        if child == 0:
            os.environ["FAULT_KILL"] = f"{out.name}:{number}"
            journals.run(out)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        anew += any("anew" in note for note in journals.run(out, resume=True))
        assert journals.digest(out) == wanted, number
    print(killed, anew)
    """
    killed, anew = map(int, faulty(shim, code, tmp_path).split())
    assert killed >= 5 and anew >= 1


JUMPING_CLOCK = """\
import itertools, time
jumps = itertools.cycle((0.0, 4e9, 1.7e9, -1e6))
time.time = lambda: next(jumps)
"""


def test_a_clock_that_jumps(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.h5"
    patch = with_patch(tmp_path / "patch", JUMPING_CLOCK)
    succeed(*train(undisturbed.parent), "--epochs", 1, "--out", tmp_path / "other.h5", env=patch)
    succeed(*train(undisturbed.parent), "--out", run, env=patch)
    assert digest(run) == digest(undisturbed)
