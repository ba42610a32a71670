"""``spikesim predict`` as a user types it: a run file and samples, and nothing else."""

import csv
import json
import shutil

import event_files
import h5py
import numpy as np
import pytest
from commands import CONFIG, assert_one_line, spikesim, succeed
from PIL import Image
from runs import expect_fault

import spikesim as package
from spikesim.cli.commands.predict import _chosen
from spikesim.ep.exchange.predictions import check_suffix

SIDE, SAMPLES = 8, 30
NAMES = ["sample", "label", "probability", "spikes", "accumulates"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What is left of a training in a folder of its own: the run file, images, and what `evaluate` said of them."""
    folder, away = tmp_path_factory.mktemp("training"), tmp_path_factory.mktemp("away")
    rng = np.random.default_rng(0)
    sets = {part: rng.integers(0, 256, (SAMPLES, SIDE, SIDE), dtype=np.uint8) for part in ("train", "test")}
    labels = np.arange(SAMPLES) % 3
    arrays = {f"{part}_images": images for part, images in sets.items()}
    np.savez(folder / "mine.npz", **arrays, train_labels=labels, test_labels=labels)
    (folder / "tiny.toml").write_text(CONFIG.replace("limit = 48\ntest_limit = 400\n", ""))
    given = ("--config", "tiny.toml", "--dataset", "mine.npz", "--out", "run.h5", "--threads", 1)
    succeed("train", *given, cwd=folder)
    tested = json.loads(succeed("evaluate", "run.h5", "--format", "json", cwd=folder).stdout)["tests"][0]
    shutil.move(folder / "run.h5", away / "run.h5")
    shutil.rmtree(folder)
    np.save(away / "images.npy", sets["test"])
    return away, sets["test"], labels, tested


def test_a_folder_of_pictures(given):
    folder, images, _, _ = given
    (folder / "pictures").mkdir()
    for number in (2, 0, 1):
        Image.fromarray(images[number]).save(folder / "pictures" / f"{number}.png")
    succeed("predict", "run.h5", "pictures", "--out", "pictures.csv", cwd=folder)
    with open(folder / "pictures.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["sample"], row["file"]) for row in rows] == [(str(k), f"{k}.png") for k in range(3)]
    assert [int(row["label"]) for row in rows] == package.load(folder / "run.h5").predict(images[:3]).labels.tolist()


def test_the_run_file_is_enough(given):
    folder, images, labels, tested = given
    told = succeed("predict", "run.h5", "images.npy", "--out", "p.csv", "--threads", 2, cwd=folder)
    assert (told.stdout, told.stderr) == (f"predictions of {SAMPLES} samples: p.csv\n", "")
    with open(folder / "p.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == NAMES  # the classes have no names
    net = package.load(folder / "run.h5")
    found = net.predict(images, threads=1)
    assert [int(row["sample"]) for row in rows] == list(range(SAMPLES))
    assert [int(row["label"]) for row in rows] == found.labels.tolist()
    assert [float(row["probability"]) for row in rows] == found.probabilities.max(axis=1).tolist()
    assert [int(row["spikes"]) for row in rows] == sum(found.spike_counts.values()).tolist()
    assert [int(row["accumulates"]) for row in rows] == found.accumulates.tolist()
    assert tested["correct"] == (found.labels == labels).sum() and tested["samples"] == SAMPLES
    assert tested["accumulates"] == found.accumulates.mean()
    assert tested["multiply_accumulates"] == found.multiply_accumulates.mean()
    picked = found.logits[np.arange(SAMPLES), labels]
    losses = np.log(np.exp(found.logits).sum(axis=1)) - picked
    assert tested["loss"] == pytest.approx(losses.mean(), rel=1e-12)


def test_arrays_and_spikes(given, tmp_path):
    folder, images, *_ = given
    out = tmp_path / "p.npz"
    options = ("--spikes", "0,3-4", "--first", 10, "--seed", 5, "--steps-free", 6, "--threads", 1)
    np.savez(tmp_path / "part.npz", images=images[10:20, :, :, np.newaxis] / 255)
    succeed("predict", folder / "run.h5", tmp_path / "part.npz", "--out", out, *options)
    net = package.load(folder / "run.h5")
    expected = net.predict(images, seed=5, steps=6, spikes=[10, 13, 14])
    with np.load(out) as file:
        found = {name: file[name] for name in file.files}
    for name in ("labels", "logits", "probabilities", "accumulates", "multiply_accumulates", "steps"):
        assert found[name].tobytes() == getattr(expected, name)[10:20].tobytes(), name
    assert (found["samples"] == np.arange(10, 20)).all() and found["layers"].tolist() == list(net.layers)
    assert [tuple(shape) for shape in found["layer_shapes"].tolist()] == list(net.layers.values())
    for layer, name in enumerate(net.layers):
        assert (found[f"rates_{name}"] == expected.rates[name][10:20]).all()
        assert (found["spike_counts"][:, layer] == expected.spike_counts[name][10:20]).all()
    assert found["recorded"].tolist() == [10, 13, 14]
    for sample, trains in expected.spikes.items():
        for layer, (steps, neurons) in enumerate(trains.values()):
            own = (found["spike_sample"] == sample) & (found["spike_layer"] == layer)
            assert (found["spike_step"][own] == steps).all() and (found["spike_neuron"][own] == neurons).all()
    assert (found["recorded_images"] == images[[10, 13, 14], :, :, np.newaxis]).all()
    drawn = ("--spikes", out, "--samples", "13,10", "--neurons", "conv1:5-9", "--html", tmp_path / "run.html")
    succeed("report", folder / "run.h5", *drawn)
    page = (tmp_path / "run.html").read_text()
    order = [page.index(text) for text in ('id="raster-13"', "predicted class: ", 'id="raster-10"')]
    assert order == sorted(order) and "2 of 3 recorded samples, in p.npz" in page and "5 of 256 neurons" in page
    succeed("export", out, "--to", "sonata", "--out", tmp_path / "spikes.h5", "--sample", 13)
    with h5py.File(tmp_path / "spikes.h5") as file:
        for name, (steps, neurons) in expected.spikes[13].items():
            pairs = zip(file[f"spikes/{name}/timestamps"][()], file[f"spikes/{name}/node_ids"][()], strict=True)
            assert sorted(pairs) == sorted(zip(steps.tolist(), neurons.tolist(), strict=True))
    assert_one_line(spikesim("export", out, "--to", "nir", "--out", tmp_path / "x"), "predictions", "sonata")
    np.savez(tmp_path / "none.npz", labels=found["labels"])
    assert_one_line(spikesim("export", tmp_path / "none.npz", "--to", "sonata", "--out", tmp_path / "x"), "no recorded")


def test_recordings(tmp_path):
    (tmp_path / "tiny.toml").write_text(CONFIG.replace("limit = 48\ntest_limit = 400\n", "").replace("= [3]", "= [2]"))
    bars = event_files.bars(12)
    event_files.write_file(tmp_path / "bars.npz", event_files.arrays_of(bars, 9))
    given = ("--config", "tiny.toml", "--dataset", "bars.npz", "--out", "run.h5", "--threads", 1)
    succeed("train", *given, cwd=tmp_path)
    (tmp_path / "bars.npz").unlink()
    with package.open_run(tmp_path / "run.h5") as run:  # a recording is shown by its events
        image, (events, label) = run.recorded.images[0], bars[9:][2]
        at = (np.asarray(events.y), np.asarray(events.x), np.asarray(events.p))
        expected = np.zeros(image.shape, int)
        np.add.at(expected, at, 1)
        assert (image == np.minimum(expected, 255)).all() and run.recorded.labels.tolist() == [label]
    succeed("report", "run.h5", "--html", "run.html", cwd=tmp_path)
    arrays = event_files.arrays_of(bars[9:], 1)
    event_files.write_file(tmp_path / "new.npz", {name: arrays[name] for name in (*"xytp", "offsets")})
    succeed("predict", "run.h5", "new.npz", "--out", "p.csv", cwd=tmp_path)
    net = package.load(tmp_path / "run.h5")
    expected = net.predict([events for events, _ in bars[9:]])
    with open(tmp_path / "p.csv") as stream:
        assert [int(row["label"]) for row in csv.DictReader(stream)] == expected.labels.tolist()


def test_nothing_is_lost_and_faults_are_one_line(given, tmp_path):
    folder, *_ = given
    run, images, out = folder / "run.h5", folder / "images.npy", tmp_path / "p.csv"
    out.write_text("mine")
    before = images.read_bytes()
    for arguments, told in (
        ((run, images, "--out", out), "--overwrite replaces it"),
        ((run, images, "--out", tmp_path / "q.npz", "--spikes", "29-30"), "there are 30 samples"),
        ((run, tmp_path / "none.npy", "--out", tmp_path / "q.csv"), "does not exist"),
    ):
        assert_one_line(spikesim("predict", *arguments), told)
    ranks = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
    several = spikesim("predict", run, images, "--out", tmp_path / "q.csv", env=ranks)
    assert_one_line(several, "predict runs as one process")
    expect_fault("must end in .csv", check_suffix, tmp_path / "p.txt", spikes=False)
    expect_fault("cannot hold spikes", check_suffix, tmp_path / "p.csv", spikes=True)
    for text in ("", "1-", "a", "-1", "5-3", "0,,1"):
        expect_fault("--spikes", _chosen, text, SAMPLES)
    assert _chosen("0, 3-5", SAMPLES) == [0, 3, 4, 5] and _chosen("all", 2) is True and _chosen(None, 2) is False
    np.savez(tmp_path / "in.npz", images=np.load(images))
    same = spikesim("predict", run, tmp_path / "in.npz", "--out", tmp_path / "in.npz", "--overwrite")
    assert_one_line(same, "the file of the samples")
    assert out.read_text() == "mine" and images.read_bytes() == before
    succeed("predict", run, images, "--out", out, "--overwrite")
    assert out.read_text().startswith("sample,label")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "p.csv"]
