"""Output that cannot be written or shown: full disks, closed streams, readers and terminals that go, character sets."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from commands import CONFIG, SECONDS, assert_one_line, environment, spikesim, succeed
from runs import write_run

from spikesim.cli.terminal.streams import EXIT_PIPE, OutputLost, guarded_streams, outlived_output
from spikesim.ep.runs.reader import RunReader

needs_full = pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="there is no /dev/full")

NETWORK = """\
[[population]]
name = "E → I"
size = 3
bias = 0.1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a configuration and a network."""
    folder = tmp_path_factory.mktemp("output")
    write_run(folder / "run.h5", 6)
    (folder / "tiny.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 1"))
    (folder / "net.toml").write_text(NETWORK)
    succeed("train", "--config", "tiny.toml", "--threads", 1, "--out", "good.h5", cwd=folder)
    # where kernels are to be compiled, that is told in lines of its own: these are, from here on
    succeed("simulate", "net.toml", "--steps", 2, "--out", "first.h5", cwd=folder)
    return folder


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in which $SPIKESIM is the command."""
    own = environment({"SPIKESIM": f"{sys.executable} -m spikesim", **env})
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=own, capture_output=True, text=True, timeout=SECONDS, errors="replace"
    )


def digest(run: Path) -> str:
    """Of a run that must be finished."""
    with RunReader(run) as reader:
        assert reader.status == "finished"
        return reader.digest()


@needs_full
@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "report run.h5",
        "watch run.h5",
        "export run.h5 --to csv --out run.csv",
        "simulate net.toml --steps 2 --out net.h5",
        "evaluate good.h5 --threads 1",
    ],
)
def test_a_full_standard_output_is_one_line(command: str, folder: Path) -> None:
    result = shell(f"$SPIKESIM {command} > /dev/full", folder)
    assert_one_line(result, "standard output cannot be written: No space left on device")
    assert result.stderr.count("\n") == 1


@needs_full
def test_nothing_can_be_said(folder: Path) -> None:
    result = shell("$SPIKESIM report run.h5 > /dev/full 2> /dev/full", folder)
    assert result.returncode == 2


def test_a_reader_that_has_enough(folder: Path) -> None:
    result = shell("$SPIKESIM report run.h5 | true; exit ${PIPESTATUS[0]}", folder)
    assert (result.returncode, result.stderr) == (EXIT_PIPE, "")


@pytest.mark.parametrize("command", ["report run.h5", "watch run.h5", "export run.h5 --to csv --out closed.csv"])
def test_a_closed_standard_output_wants_nothing(command: str, folder: Path) -> None:
    result = shell(f"$SPIKESIM {command} >&-", folder)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param("> /dev/full 2> /dev/full", marks=needs_full, id="full"),
        pytest.param("2>&1 | head -1", id="the reader goes"),
        pytest.param("<&- >&- 2>&-", id="closed"),
    ],
)
def test_a_training_does_not_depend_on_its_log(streams: str, folder: Path, tmp_path: Path) -> None:
    config = folder / "tiny.toml"
    command = f"$SPIKESIM train --config {config} --threads 1 --progress-every 0.1 --out run.h5"
    result = shell(f"{command} {streams}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert digest(tmp_path / "run.h5") == digest(folder / "good.h5")


def test_a_training_outlives_its_terminal(folder: Path, tmp_path: Path) -> None:
    """The terminal is closed when the training has begun to write to it."""
    out = tmp_path / "run.h5"
    command = [sys.executable, "-m", "spikesim", "train", "--config", str(folder / "tiny.toml"), "--threads", "1"]
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [*command, "--out", str(out)], environment({}))
    os.read(terminal, 1)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert digest(out) == digest(folder / "good.h5")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_character_that_the_terminal_lacks(encoding: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "é→.h5"
    simulate = f"$SPIKESIM simulate net.toml --steps 2 --out {out}"
    result = subprocess.run(
        ["bash", "-c", simulate],
        cwd=folder,
        env=environment({"SPIKESIM": f"{sys.executable} -m spikesim", "PYTHONIOENCODING": encoding}),
        capture_output=True,
        timeout=SECONDS,
    )
    text = result.stdout.decode(encoding)
    assert (result.returncode, result.stderr) == (0, b"")
    assert "E ? I" in text
    assert f"simulation file: {tmp_path}/{'é' if encoding == 'latin-1' else '?'}?.h5" in text


def test_names_that_the_locale_cannot_decode_are_printed_as_they_were_given(tmp_path: Path) -> None:
    line = "$SPIKESIM submit --dry-run -- train --out über.h5"
    own = {"SPIKESIM": f"{sys.executable} -m spikesim", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment(own), capture_output=True, timeout=SECONDS
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert "#SBATCH --job-name=über\n".encode() in result.stdout


def test_writing_fails_once_and_then_drops(tmp_path: Path) -> None:
    """What was buffered when writing failed does not fail again when the interpreter ends."""
    code = (
        "import sys\n"
        "from spikesim.cli.terminal.streams import OutputLost, guarded_streams\n"
        "with guarded_streams():\n"
        "    try:\n"
        "        print('x' * 100_000)\n"
        "    except OutputLost:\n"
        "        print('lost', file=sys.stderr)\n"
        "    print('dropped')\n"
        "    sys.stdout.flush()\n"
    )
    result = shell(f'{sys.executable} -c "$CODE" > /dev/full', tmp_path, CODE=code)
    assert (result.returncode, result.stderr) == (0, "lost\n")


def test_streams_that_others_have_replaced_are_left_alone() -> None:
    out = sys.stdout
    with guarded_streams(), outlived_output():
        assert sys.stdout is out
    assert not issubclass(OutputLost, OSError), "click and rich have answers of their own to a pipe that is closed"


LONG = "n" * 300


@pytest.mark.parametrize(
    "command",
    [
        f"train --config tiny.toml --threads 1 --out {LONG}.h5",
        f"train --config tiny.toml --threads 1 --out {LONG[:245]}",
        f"report run.h5 --html {LONG}.html",
        f"simulate net.toml --steps 2 --out {LONG}.h5",
        f"info {LONG}",
    ],
)
def test_names_that_are_too_long(command: str, folder: Path) -> None:
    assert_one_line(spikesim(*command.split(), cwd=folder), LONG[:30])
    assert not list(folder.glob(f"{LONG[:30]}*"))
