"""Inputs of the nature of public bug reports, as a user types them: the right result, or one line that names the cause.

One or two of each kind, in this process. The mechanisms behind them, their limits and more inputs of each kind have
tests of their own:

networks    core/sparse/test_inputs.py, core/sparse/test_rounding.py, cli/test_simulate.py
data        datasets/test_plausibility.py, test_image_arrays.py, test_event_folders.py, test_identity.py
settings    ep/config/test_parsing.py, ep/network/test_architectures.py, cli/cluster/test_submit.py
processes   ep/parallel/test_communicator.py, core/runtime/test_stopping.py
disks       ep/runs/test_faults.py, core/io/test_durable.py, test_hdf5_output.py, ep/training/test_run_store.py,
            project/benchmarks/test_benchmarks_torn.py
cache       core/jit/test_compilation.py
terminals   cli/test_output.py, test_tables.py, core/runtime/test_printable.py
hostile     ep/runs/test_reader_hostile.py, core/io/test_hdf5_reader.py
"""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner, Result

from spikesim.cli import main
from spikesim.sparse.recording import SimulationReader, state_path

SOURCE = '[[population]]\nname = "s"\nkind = "source"\nsize = 1\nrate = 1.0\n'
TARGET = '[[population]]\nname = "t"\nkind = "lif"\nsize = 1\nleak = 0\nthreshold = 1000.0\nrecord_potential = [0]\n'
PLAIN = '[[population]]\nname = "c"\nsize = 20\nbias = 0.1\nrecord = true\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)


def run(line: str) -> Result:
    """A command, words separated by spaces."""
    result = CliRunner().invoke(main, line.split())
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def done(line: str) -> str:
    result = run(line)
    assert result.exit_code == 0, result.output
    return result.output


def refused(line: str) -> str:
    """The one line with which a command is refused."""
    result = run(line)
    assert result.exit_code == 2, result.output
    (error,) = (text for text in result.output.splitlines() if text.startswith("Error: "))
    return error


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def stripes(samples: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is the column that is bright."""
    rng = np.random.default_rng(samples)
    labels = np.arange(samples) % classes
    images = rng.integers(0, 60, (samples, 12, 12)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, label * 4 : label * 4 + 4] += 150
    return images, labels


def own_images(name: str, **changes: np.ndarray) -> None:
    (images, labels), (test_images, test_labels) = stripes(48), stripes(24)
    arrays = {"train_images": images, "train_labels": labels, "test_images": test_images, "test_labels": test_labels}
    np.savez(name, **{**arrays, **changes})


# Sparse networks


@pytest.mark.parametrize("delays", [(2, 2), (2, 3), (3000, 2000)])
def test_two_synapses_of_one_pair_are_two(delays: tuple[int, int]) -> None:
    for name, values in (("w.npz", (0.5, 0.25)), ("d.npz", delays)):
        sp.save_npz(name, sp.coo_array((np.array(values), ([0, 0], [0, 0])), shape=(1, 1)))
    projection = '[[projection]]\nsource = "s"\ntarget = "t"\nmatrix = "w.npz"\ndelay = "d.npz"\n'
    write("net.toml", SOURCE + TARGET + projection)
    done("simulate net.toml --steps 8 --threads 1 --out o.h5")
    with SimulationReader("o.h5") as reader:
        found = reader.potentials("t")[:, 0]
    expected = sum(weight * (np.arange(8) >= delay) for weight, delay in zip((0.5, 0.25), delays, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_membrane_with_a_slow_leak_reaches_its_drive() -> None:
    cell = '[[population]]\nname = "t"\nsize = 1\nleak = 12\nbias = {}\nrecord_potential = [0]\n'
    for bias in (0.05, -0.05):
        write("net.toml", cell.format(bias))
        done("simulate net.toml --steps 40000 --threads 1 --overwrite --out o.h5")
        with SimulationReader("o.h5") as reader:
            assert reader.potentials("t")[-1, 0] == pytest.approx(bias, abs=2e-4)


def test_sources_of_low_rate_fire_as_often_as_they_should() -> None:
    write("net.toml", '[[population]]\nname = "s"\nkind = "source"\nsize = 200000\nrate = 5e-6\n')
    done("simulate net.toml --steps 1000 --threads 1 --out o.h5")
    with SimulationReader("o.h5") as reader:
        assert abs(reader.total("s") - 1000) < 5 * 1000**0.5


def test_a_drive_that_integers_cannot_hold_is_refused_with_its_size() -> None:
    write("net.toml", TARGET + "poisson = { rate = 64, weight = 600 }\n")
    assert "Poisson drive of t" in refused("simulate net.toml --steps 20 --out o.h5")


def test_a_strong_inhibition_does_not_coarsen_a_weak_excitation() -> None:
    inhibition = '[[population]]\nname = "i"\nkind = "source"\nsize = 1\nrate = 1e-12\n'
    many = SOURCE.replace("size = 1", "size = 50")
    both = "".join(
        f'[[projection]]\nsource = "{source}"\ntarget = "t"\nnumber = 1\nweight = {weight}\n'
        for source, weight in (("s", 0.01), ("i", -2000))
    )
    write("net.toml", many + inhibition + TARGET + both)
    done("simulate net.toml --steps 40 --threads 1 --out o.h5")
    with SimulationReader("o.h5") as reader:
        assert reader.potentials("t")[2:].mean() == pytest.approx(0.5, abs=1e-3)


def test_a_finished_simulation_is_not_shortened() -> None:
    write("net.toml", PLAIN)
    done("simulate net.toml --steps 30 --threads 1 --out r.h5")
    state_path(Path("r.h5")).unlink()
    before = Path("r.h5").read_bytes()
    assert "30 steps" in refused("simulate net.toml --steps 20 --threads 1 --out r.h5 --resume")
    assert Path("r.h5").read_bytes() == before


def test_a_matrix_that_points_outside_and_one_that_is_complex() -> None:
    projection = '[[projection]]\nsource = "c"\ntarget = "c"\nmatrix = "m.npz"\n'
    write("net.toml", PLAIN + projection)
    pointers = np.concatenate([[0], np.full(20, 10)]).astype(np.int32)
    indices = np.full(10, 10**9, np.int32)
    shape = {"format": np.array(b"csc"), "shape": np.array((20, 20)), "indptr": pointers}
    np.savez("m.npz", data=np.ones(10), indices=indices, **shape)
    assert "m.npz" in refused("simulate net.toml --steps 2 --out o.h5")
    sp.save_npz("m.npz", sp.coo_array(np.eye(20) * 1j))
    assert "complex" in refused("simulate net.toml --steps 2 --out o.h5")


def test_a_simulation_does_not_speak_of_learning() -> None:
    write("net.toml", PLAIN.replace("0.1", "inf"))
    assert "learning" not in refused("simulate net.toml --steps 2 --out o.h5")
    write("net.toml", PLAIN)
    done("simulate net.toml --steps 2 --threads 1 --out s.h5")
    assert "accuracy" not in done("report s.h5")
    assert "20 neurons" in done("info s.h5")


# Data


def test_labels_from_one_are_told() -> None:
    labels = np.arange(48) % 3 + 1
    own_images("one.npz", train_labels=labels, test_labels=labels[:24])
    output = done("data check one.npz")
    assert "warning" in output and "class 0" in output


def test_the_arrays_of_keras_are_read() -> None:
    (images, labels), (test_images, test_labels) = stripes(48), stripes(24)
    np.savez("mnist.npz", x_train=images, y_train=labels, x_test=test_images, y_test=test_labels)
    assert "48 training and 24 test images of 12x12 pixels" in done("data check mnist.npz")


@pytest.mark.parametrize("crop", [2**62, 2**63 - 1, 2**64 - 1])
def test_a_crop_beyond_the_image_is_refused(crop: int) -> None:
    own_images("img.npz", crop=np.array(crop, np.uint64))
    assert "crop" in refused("train --arch mlp --dataset img.npz --out o.h5")


def test_an_event_far_outside_and_an_hdf5_file_are_seen() -> None:
    import h5py

    rng = np.random.default_rng(0)
    recordings, events = 12, 40
    x = rng.integers(0, 10, recordings * events)
    x[7] = 5000
    arrays = {
        "x": x,
        "y": rng.integers(0, 8, recordings * events),
        "t": np.sort(rng.integers(0, 100000, (recordings, events)), axis=1).ravel(),
        "p": rng.integers(0, 2, recordings * events),
        "offsets": np.arange(recordings + 1) * events,
        "labels": np.arange(recordings) % 3,
        "n_train": 9,
    }
    with h5py.File("hot.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    output = done("data check hot.h5")
    assert "hot.h5: good" in output and "8x5001" in output and "warning" in output


# Configuration and jobs


def test_a_byte_order_mark_is_passed_over_and_utf_16_named() -> None:
    Path("bom.toml").write_text(PLAIN, encoding="utf-8-sig")
    Path("u16.toml").write_text(PLAIN, encoding="utf-16")
    done("simulate bom.toml --steps 2 --threads 1 --out o.h5")
    assert "UTF-16" in refused("simulate u16.toml --steps 2 --out p.h5")


def test_an_integer_without_end_is_refused_and_not_printed() -> None:
    error = refused(f"train --epochs 1 --set optimizer.epochs=0x{'f' * 5000} --out o.h5")
    assert "optimizer.epochs" in error and len(error) < 400


def test_a_sample_is_recorded_once() -> None:
    own_images("img.npz")
    assert "once" in refused("train --arch mlp --dataset img.npz --set record.spikes=[0,0,1] --out m.h5")


def test_submit_refuses_what_train_would() -> None:
    for words in ("--dataset nothere.npz", "--signals kd", "--signals kd --teacher nothere.h5"):
        line = f"train --arch conv {words} --out r.h5"
        assert refused(f"submit --dry-run -- {line}") == refused(line)


def test_jobs_without_a_limit_of_time_and_sweeps_over_layers() -> None:
    train = "-- train --arch conv --out"
    for text in ("UNLIMITED", "infinite", "0"):
        assert "#SBATCH" in done(f"submit --dry-run --time {text} {train} r.h5")
    rows = '{ kind = "conv", channels = 8, pool = true }, { kind = "dense", channels = 10 }'
    write(
        "sweep.toml",
        f'[[runs]]\nmodel.layers = [{rows}]\n[[runs]]\nmodel.layers = [{{ kind = "dense", channels = 10 }}]\n',
    )
    script = done("submit --sweep sweep.toml --dry-run -- train --arch custom --out runs")
    assert "--array=0-1" in script
