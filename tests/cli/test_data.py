"""``spikesim data`` as a user types it; with tiny sets in this process, with the known ones in their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasets_support import install, serve, tiny_cifar, tiny_idx

from spikesim.cli import main
from spikesim.cli.commands import data as data_module
from spikesim.datasets import load, names

ROOT = Path(__file__).resolve().parents[2]
TINY = tiny_idx()
COLOUR = tiny_cifar()


def run(*arguments, **environment):
    """The command in its own process, without the user's data folder and proxies."""
    env = {name: value for name, value in os.environ.items() if name != "SPIKESIM_DATA" and "proxy" not in name.lower()}
    command = [sys.executable, "-m", "spikesim", "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env | environment, timeout=60)


@pytest.fixture
def invoke(monkeypatch):
    """The command in this process, which knows the tiny sets."""
    install(monkeypatch, TINY, COLOUR)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return lambda *arguments: CliRunner().invoke(main, ["data", *map(str, arguments)])


def assert_refused(result, message):
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_list_shows_every_set():
    result = run("list")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in (lines[0], *lines[2:-2])] == ["name", *names()]
    assert lines[2].split() == ["fashion-mnist-mini", "10", "28x28x1", "5000", "1000", "embedded"]
    assert lines[5].split()[0] == "cifar10" and lines[5].split()[-1] == "no"
    assert lines[-1].endswith("spikesim data fetch NAME --data-dir DIR")


def test_list_says_where_a_set_is(invoke, tmp_path):
    folder = TINY.write(tmp_path / "tiny")
    result = invoke("list", "--data-dir", tmp_path)
    assert result.exit_code == 0
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("tiny "))
    assert line.split() == ["tiny", "3", "6x5x1", "60", "20", str(folder)]


def test_list_refuses_a_folder_that_is_none(tmp_path):
    assert_refused(run("list", "--data-dir", tmp_path / "none"), "does not exist")


def test_check_of_the_embedded_set():
    result = run("check", "fashion-mnist-mini")
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "fashion-mnist-mini: good (embedded)")
    assert "5000 training and 1000 test images of 28x28 pixels and 1 channel, values 0 .. 255" in result.stdout
    assert "10 classes of 500 training and 100 test samples each" in result.stdout


def test_check_of_an_unknown_or_missing_set(tmp_path):
    assert_refused(run("check", "nist"), "unknown data set 'nist'")
    missing = run("check", "fashion-mnist-mini", "cifar10", SPIKESIM_DATA=str(tmp_path))
    assert_refused(missing, "cifar10")
    good, *_, bad = missing.stdout.splitlines()
    assert good == "fashion-mnist-mini: good (embedded)"
    assert bad.startswith("cifar10: BAD: cifar10 is not found")
    assert f"spikesim data fetch cifar10 --data-dir {tmp_path}" in bad


def test_check_of_a_truncated_set(tmp_path):
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(bytes(1000))
    result = run("check", "--data-dir", tmp_path, "cifar100")
    assert_refused(result, "cifar100")
    assert "train.bin: truncated, 1000 of 153700000 bytes" in result.stdout


@pytest.mark.parametrize(
    ("name", "inside", "version"),
    [
        ("cifar10", "cifar-10-python.tar.gz", "Python"),
        ("cifar10", "cifar-10/cifar-10-batches-py/data_batch_1", "Python"),
        ("cifar10", "batches.meta", "Python"),
        ("cifar100", "cifar-100-python/train", "Python"),
        ("cifar10", "cifar-10-matlab.tar.gz", "MATLAB"),
    ],
)
def test_another_version_of_cifar_is_told_by_name(invoke, tmp_path, name, inside, version):
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")  # a pickle that would run a command
    result = invoke("check", name, "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert f"is the {version} version, which is not read; the binary version is needed" in result.stdout
    assert f"spikesim data fetch {name}" in result.stdout


def test_the_name_of_another_version_of_cifar(invoke):
    result = invoke("check", "cifar-10-batches-py")
    assert result.exit_code == 2 and "of CIFAR the binary version is read, as cifar10 and cifar100" in result.stderr


def test_check_without_names_is_about_what_is_found(invoke, tmp_path):
    TINY.write(tmp_path)
    result = invoke("check", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert f"tiny: good ({tmp_path})" in result.stdout
    assert "tinycolour: not found" in result.stdout
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"")
    result = invoke("check", "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert "tiny: BAD" in result.stdout


@pytest.mark.parametrize("tiny", [TINY, COLOUR], ids=["idx", "archive"])
def test_fetch_then_load(invoke, tmp_path, tiny):
    name = tiny.entry.name
    with serve(tiny.published()) as server:
        result = invoke("fetch", name, "--data-dir", tmp_path, "--mirror", server.url)
    folder = tmp_path / tiny.entry.folders[0]
    assert (result.exit_code, result.stdout) == (0, f"{name}: good ({folder})\n")
    assert load(name, tmp_path).source == str(folder)
    assert invoke("fetch", name, "--data-dir", tmp_path).exit_code == 0


def test_fetch_shows_plain_lines_without_a_terminal(invoke, tmp_path, monkeypatch):
    monkeypatch.setattr(data_module, "_SECONDS_BETWEEN_LINES", 0.0)
    with serve(COLOUR.published()) as server:
        result = invoke("fetch", "tinycolour", "--data-dir", tmp_path, "--mirror", server.url)
    assert result.exit_code == 0
    assert "tiny-colour.tar.gz: 0.0 MB of 0.0 MB" in result.stderr
    assert "\x1b" not in result.stderr


def test_fetch_shows_a_bar_on_a_terminal(capsys):
    with data_module._bars() as progress:
        progress("file.gz", 0, None)
        progress("file.gz", 512, 1024)
        progress("file.gz", 1024, 1024)
    assert "file.gz" in capsys.readouterr().err


def test_fetch_from_an_empty_server(tmp_path):
    with serve({}) as server:
        result = run("fetch", "mnist", "--data-dir", tmp_path, "--mirror", server.url)
    assert_refused(result, "404")
    assert server.url in result.stderr


def test_fetch_needs_a_folder_and_a_set_that_is_not_embedded(tmp_path):
    result = run("fetch", "mnist")
    assert result.returncode == 2
    assert "--data-dir" in result.stderr
    assert_refused(run("fetch", "fashion-mnist-mini", SPIKESIM_DATA=str(tmp_path)), "nothing to fetch")


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["check", "--help"], ["fetch", "--help"]])
def test_help_is_light(invoke, arguments):
    assert invoke(*arguments).exit_code == 0


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from click.testing import CliRunner; from spikesim.cli import main; "
        "CliRunner().invoke(main, ['data', 'fetch', '--help']); "
        "print(sorted({'numpy', 'numba', 'h5py', 'scipy', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout == "[]\n"
