"""Trainings that start from the weights of another run, and layers that stay as they are."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import small
from journals import digest
from numpy.typing import NDArray
from threadranks import on_ranks

import spikesim
from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.network.model import Model
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.observer import Progress, Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.ep.training.transfer.matching import Transfer
from spikesim.ep.training.transfer.source import take_weights
from spikesim.errors import InputError, Stopped

Arrays = dict[str, NDArray[np.float32]]

ROWS = [small.POOLED, {**small.CONV, "channels": 6}, small.DENSE]
SETTINGS = {
    "model.arch": "custom",
    "model.layers": ROWS,
    "model.calibration_samples": 8,
    "data.batch_size": 6,
    "optimizer.epochs": 2,
    "record.traces": 0,
    "stability.spectral_norm_limit": None,
}
STILL = {
    "optimizer.epochs": 1,
    "optimizer.learning_rate": 0,
    "optimizer.readout_learning_rate": 0,
    "stability.homeostasis": 0,
    "model.statistics_rate": 1e-9,
}
"""Nothing is learned."""


class Watcher(Silent):
    """Remembers what is said, and may ask for a stop after so many mini-batches."""

    def __init__(self, last: int = -1) -> None:
        self.last, self.lines = last, list[str]()
        self.trainer: Trainer | None = None

    def message(self, text: str) -> None:
        self.lines.append(text)

    def batch(self, progress: Progress) -> None:
        self.last -= 1
        if self.last == 0 and self.trainer is not None:
            self.trainer.request_stop()


def config_of(**changes: Any) -> Config:
    given = {**SETTINGS, **{key.replace("__", "."): value for key, value in changes.items()}}
    return make_config(merge({}, given.items()))


def train(
    out: Path, config: Config, dataset: Dataset | None = None, *, last: int = -1, ranks: Any = None, **options: Any
) -> list[str]:
    config, weights = take_weights(config)
    watcher, run = Watcher(last), RunOptions(out, **options)
    trainer = Trainer(config, dataset or small.make_dataset(), run, watcher, ranks=ranks, weights=weights)
    watcher.trainer = trainer
    try:
        trainer.run()
    except Stopped:
        assert last > 0
    return watcher.lines


def arrays_of(run: Path, which: str = "last") -> Arrays:
    with RunReader(run) as reader:
        return {**reader.weights(which), **reader.normalization(which)}


def of_layer(arrays: Arrays, layer: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name.startswith((f"{layer}/", f"{layer}_from"))}


def assert_equal(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys() and expected
    for name, array in expected.items():
        if name.endswith("/norm"):  # that of weights which are known but for rounding
            np.testing.assert_allclose(found[name], array, rtol=1e-6)
        else:
            assert found[name].tobytes() == array.tobytes(), name


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trained runs with a validation set, by normalization."""
    folder = tmp_path_factory.mktemp("transfer")

    @functools.cache
    def make(kind: str) -> Path:
        train(folder / f"{kind}.h5", config_of(model__normalization=kind, data__validation=0.25))
        return folder / f"{kind}.h5"

    return make


@pytest.fixture
def source(sources: Callable[[str], Path]) -> Path:
    """One of them, with the default normalization."""
    return sources("running-statistics")


@pytest.mark.parametrize(
    ("kind", "which"),
    [
        ("running-statistics", "last"),
        ("running-statistics", "best"),
        ("weight-standardization", "last"),
        ("none", "last"),
    ],
)
def test_a_network_is_taken_whole(sources: Callable[[str], Path], kind: str, which: str, tmp_path: Path) -> None:
    """What learns nothing remains what was taken: to the bit where it is frozen, else but for rounding."""
    run = sources(kind)
    given = arrays_of(run, which)
    assert any("/gain" in name for name in given) == (kind != "none")
    config = config_of(
        **STILL, model__normalization=kind, model__weights=f"{run}:{which}", optimizer__freeze="conv1,dense3"
    )
    lines = train(tmp_path / "on.h5", config)
    assert lines[0].endswith("conv1, conv2, dense3, head1, head2, readout") and not any("calibrat" in x for x in lines)
    found = arrays_of(tmp_path / "on.h5")
    for layer in ("conv1", "dense3"):
        assert_equal(of_layer(found, layer), of_layer(given, layer))
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_gains_that_a_file_does_not_have_are_found_anew(source: Path, tmp_path: Path) -> None:
    """Of a run of an older version, which holds weights and biases alone, the network is taken all the same."""
    old = tmp_path / "old.h5"
    old.write_bytes(source.read_bytes())
    with h5py.File(old, "r+") as file:
        del file["normalization"]
    given = arrays_of(old)
    assert all(name.endswith(("weight", "bias")) for name in given)
    config = config_of(**STILL, model__weights=str(old))
    train(tmp_path / "on.h5", config)
    found = arrays_of(tmp_path / "on.h5")
    for name, array in given.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("running-statistics", True), ("running-statistics", False), ("weight-standardization", True)],
)
def test_frozen_layers_stay_to_the_bit(sources: Callable[[str], Path], kind: str, given: bool, tmp_path: Path) -> None:
    """Over epochs in which others learn, are damped and limited; with threads and ranks, stopped and resumed."""
    run = sources(kind) if given else None
    config = config_of(
        model__normalization=kind,
        model__weights="" if run is None else str(run),
        optimizer__freeze=["conv2"],
        stability__target_rate=0.05,
        stability__spectral_norm_limit=0.02,  # which bites
    )
    whole, parts, shared = (tmp_path / f"{name}.h5" for name in ("whole", "parts", "shared"))
    train(whole, config)
    train(parts, config, last=2, threads=3)
    begun = arrays_of(parts)
    train(parts, take_weights(config)[0], resume=True, threads=2)
    on_ranks(2, lambda ranks: train(shared, config, ranks=ranks))
    assert digest(parts) == digest(whole) == digest(shared)
    found = arrays_of(whole)
    assert_equal(of_layer(found, "conv2"), of_layer(begun, "conv2"))
    assert begun["conv2/bias"].any(), "calibrated, or taken"
    if run is not None:
        assert_equal(of_layer(found, "conv2"), of_layer(arrays_of(run), "conv2"))
    for name in ("conv1/weight", "conv1/bias", "dense3/weight", "head2/weight", "readout/weight"):
        assert found[name].tobytes() != begun[name].tobytes(), name
    with RunReader(whole) as reader:
        changes = reader.batches["weight_change"]
        assert (changes[:, 1] == 0).all() and (changes[:, [0, 2, 3]] > 0).all()


def test_what_does_not_fit_is_new_and_alone_is_calibrated(source: Path, tmp_path: Path) -> None:
    given = arrays_of(source)
    config = config_of(model__weights=str(source), optimizer__epochs=1, optimizer__freeze="conv2,dense3")
    dataset = small.make_dataset(channels=2, classes=4)
    lines = train(tmp_path / "on.h5", config, dataset)
    assert lines[:2] == [
        f"taken from {source}: conv2, dense3; new: conv1 (3x3x2x4, there 3x3x1x4), head1 (36x4, there 36x3), "
        "head2 (54x4, there 54x3), readout (8x4, there 8x3)",
        "calibrating the biases",
    ]
    found = arrays_of(tmp_path / "on.h5")
    for layer in ("conv2", "dense3"):
        assert_equal(of_layer(found, layer), of_layer(given, layer))
    assert found["conv1/bias"].any()
    lines = train(tmp_path / "large.h5", config, small.make_dataset(size=8))
    assert "taken" in lines[0] and "; new: dense3 (96x8, there 54x8), head1 (64x3, there 36x3)" in lines[0]
    with pytest.raises(
        InputError, match=r"^no layer of .* fits the network, conv1 \(3x3x1x8, there 3x3x1x4\), .*custom"
    ):
        train(tmp_path / "none.h5", config_of(model__width=2.0, model__weights=str(source)))
    assert not (tmp_path / "none.h5").exists()


def test_weights_are_known_by_their_hash(source: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere:best"  # a name that could mean other weights
    there.write_bytes(source.read_bytes())
    one, other = (config_of(model__weights=str(path)) for path in (source, there))
    assert take_weights(one)[0] == take_weights(other)[0]
    named = take_weights(one)[0]
    assert len(named.model.weights) == 64 and take_weights(named) == (named, None)
    with pytest.raises(InputError, match=f"model.weights is '{named.model.weights}'.*--init-from RUN.h5"):
        train(tmp_path / "on.h5", named)
    train(tmp_path / "on.h5", one, last=2)
    with pytest.raises(InputError, match=r"another configuration: model\.weights: "):
        train(tmp_path / "on.h5", config_of(model__weights="0" * 64), resume=True)
    with h5py.File(there, "r+") as file:
        file["weights/conv1/bias"][0] += 1.0
    assert take_weights(other)[0] != named
    with h5py.File(there, "r+") as file:
        file["weights/conv1/bias"][0] = np.nan
    with pytest.raises(InputError, match="not finite in conv1/bias"):
        take_weights(other)


def test_networks_are_compared_connection_by_connection(tmp_path: Path) -> None:
    run = tmp_path / "skips.h5"
    rows = [dict(row) for row in small.SKIPS]
    train(run, config_of(model__layers=rows, model__normalization="none", error_signals__learning="fixed"))
    chain = [{key: value for key, value in row.items() if key != "from"} for row in rows]
    config, source = take_weights(
        config_of(
            model__layers=chain, model__weights=str(run), model__normalization="none", dynamics__pooling="winner",
            error_signals__learning="fixed",
        )
    )  # fmt: skip
    assert source is not None
    found = Transfer.match(source, Model(config, small.make_dataset()), config)
    assert found.taken == ("conv1", "conv2"), "the others had more connections, and fixed heads stay as made"
    assert found.warning is not None and found.warning.endswith(": dynamics.pooling average (here winner)")
    with pytest.raises(InputError, match=r"'running-statistics'; .* set it to 'none'"):
        Transfer.match(source, Model(config, small.make_dataset()), config_of())


def test_frozen_layers_must_be_there(tmp_path: Path) -> None:
    for name, words in (
        ("conv", r"'conv', no layer \(did you mean conv[12]\?\)"),
        ("readout", "'readout', the read-out,"),
    ):
        with pytest.raises(InputError, match=rf"^optimizer\.freeze has {words}.*the layers are conv1, conv2, dense3$"):
            train(tmp_path / "run.h5", config_of(optimizer__freeze=[name]))
    assert config_of(optimizer__freeze="conv2, conv1").optimizer.freeze == ("conv1", "conv2")
    assert "freeze" not in config_of().to_dict()["optimizer"]


def test_fit_takes_weights_by_the_same_key(source: Path, tmp_path: Path) -> None:
    dataset = small.make_dataset()
    arrays = {
        "train_images": dataset.train.images, "train_labels": dataset.train.labels,
        "test_images": dataset.test.images, "test_labels": dataset.test.labels,
    }  # fmt: skip
    own = {"model.weights": f"{source}:best", "optimizer.freeze": ["conv1"]}
    net = spikesim.fit(arrays, tmp_path / "on.h5", {**SETTINGS, **STILL, **own}, progress=False, threads=1)
    np.testing.assert_array_equal(net.weights["conv1/weight"], arrays_of(source, "best")["conv1/weight"])
    assert len(net.config["model"]["weights"]) == 64
