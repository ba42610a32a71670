"""Learning by phases from a TOML file: the bits of Python's interface, stops, samples from files, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from spikesim.cli import main
from spikesim.errors import InputError, Stopped
from spikesim.sparse import Projection, SimulationReader
from spikesim.sparse.description import make_network, read_network
from spikesim.sparse.learning import EquilibriumPropagation, Phases
from spikesim.sparse.learning.described import read_task
from spikesim.sparse.learning.job import LearningJob

NETWORK = """\
seed = 3

[[population]]
name = "inputs"
kind = "source"
size = 4
rate = 0.0

[[population]]
name = "hidden"
size = 6
bias = 0.2
record = true

[[population]]
name = "outputs"
size = 4
bias = 0.2

[[projection]]
source = "inputs"
target = "hidden"
rule = "all_to_all"
weight = { distribution = "normal", mean = 0.0, std = 0.3 }
plasticity = { rule = "contrastive", limit = 1.0 }

[[projection]]
source = "hidden"
target = "outputs"
rule = "all_to_all"
weight = { distribution = "normal", mean = 0.0, std = 0.2 }
delay = [1, 2]
plasticity = { rule = "contrastive", limit = 1.0 }

[[projection]]
source = "outputs"
target = "hidden"
rule = "transpose"
plasticity = { rule = "contrastive", limit = 1.0 }

[learning]
input = "inputs"
output = "outputs"
train = "train.csv"
test = { inputs = [[0.1, 0.8], [0.7, 0.2], [0.9, 0.1]], labels = [1, 0, 0] }
epochs = 3
batch_size = 2
rate = 0.2
bias_rate = 0.1
decay = 0.01
free = 20
nudged = 16
window = 12
"""
TRAIN = "input_a,input_b,label\n0.8,0.1,0\n0.1,0.9,1\n0.7,0.0,0\n0.2,0.8,1\n0.9,0.3,0\n"
INPUTS, LABELS = np.array([[0.8, 0.1], [0.1, 0.9], [0.7, 0.0], [0.2, 0.8], [0.9, 0.3]]), np.array([0, 1, 0, 1, 0])


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "net.toml").write_text(NETWORK)
    return tmp_path / "net.toml"


def simulate(network: Path, out: str, *options: str) -> Any:
    arguments = ["simulate", str(network), "--out", str(network.parent / out), *options]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def by_hand(network: Path) -> tuple[EquilibriumPropagation, list[float], list[Projection]]:
    """The same in Python, the mean squared error of each epoch, and the projections."""
    description = read_network(network)
    net, phases = description.network, Phases(free=20, nudged=16, window=12)
    inputs, _, outputs = net.populations
    learner = EquilibriumPropagation(net, inputs, outputs, samples=2, phases=phases, seed=3)
    rates, targets = INPUTS.repeat(2, axis=1), np.where(LABELS[:, None] == [0, 0, 1, 1], 0.6, 0.1)
    errors = []
    for epoch in range(3):
        order = np.random.default_rng([3, epoch]).permutation(5)[:4].reshape(2, 2)
        found = [learner.learn(rates[own], targets[own], 0.2, bias_rate=0.1, decay=0.01) for own in order]
        errors.append(sum(found) / 2)
    return learner, errors, net.projections


def test_a_file_learns_to_the_bits_of_python_also_in_parts(network: Path) -> None:
    told = simulate(network, "whole.h5", "--threads", "2")
    assert told.exit_code == 0 and "3 epochs of 5 samples in batches of 2: train mean squared error" in told.output
    assert "epoch 3/3: " in told.stderr
    assert simulate(network, "parts.h5", "--epochs", "1").exit_code == 0

    job = LearningJob(read_network(network), network.parent / "parts.h5", resume=True)
    contrast = job.learner.contrast

    def stopping(*given: Any) -> Any:  # within the second epoch
        job.request_stop()
        return contrast(*given)

    job.learner.contrast = stopping  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="Stopped after 1 of 3 epochs; the same command with --resume"):
        job.learn()
    with SimulationReader(network.parent / "parts.h5") as reader:
        assert reader.status == "stopped" and reader.steps == 0
    assert simulate(network, "parts.h5", "--resume").exit_code == 0

    learner, errors, projections = by_hand(network)
    for name in ("whole.h5", "parts.h5"):
        with SimulationReader(network.parent / name) as reader:
            learned = reader.learning()
            assert learned is not None and learned.epochs["train_error"].tolist() == errors
            assert all(len(own) == 3 and np.all((own >= 0) & (own <= 1)) for own in learned.epochs.values())
            for index, own in enumerate(("hidden", "outputs"), 1):
                assert learned.biases[own].tolist() == learner.biases[index].tolist()
            for number in reader.plastic_projections():
                wanted = np.float32(learner.simulation.weights(projections[number]))
                assert reader.synapses(number).weights.tolist() == wanted.tolist()
                before = reader.initial_weights(number)
                assert before is not None and (before != reader.synapses(number).weights).any()
            forward, back = (reader.synapses(number).matrix().toarray() for number in (1, 2))
            assert np.array_equal(forward, back.T)
            assert reader.steps == 20 and reader.trials == 2 and len(reader.spikes("hidden", 1).steps)
    assert simulate(network, "parts.h5", "--resume", "--epochs", "2").exit_code == 2


def test_samples_come_from_csv_archives_and_tables_alike(network: Path) -> None:
    rows = {"inputs": INPUTS, "labels": LABELS}
    np.savez(network.parent / "train.npz", **rows)  # type: ignore[arg-type]
    given = [
        read_task(read_network(network)).train,
        *(
            read_task(make_network(changed(train=own), network.parent)).train
            for own in ("train.npz", {name: own.tolist() for name, own in rows.items()})
        ),
    ]
    for own in given:
        assert own.inputs.tolist() == INPUTS.repeat(2, axis=1).tolist() and own.targets.shape == (5, 4)
    targets = {"inputs": [[0.5, 0.1, 0.2, 0.3]] * 2, "targets": [[0.2, 0.7]] * 2}
    found = read_task(make_network(changed(train=targets, test=targets), network.parent))
    assert found.classes is None and found.train.targets[0].tolist() == [0.2, 0.2, 0.7, 0.7]


def changed(**given: Any) -> dict[str, Any]:
    """The network with other keys of its `[learning]`; None takes one away."""
    from spikesim.io.toml import tomllib

    tables = tomllib.loads(NETWORK)
    learning = {key: value for key, value in (tables["learning"] | given).items() if value is not None}
    return tables | {"learning": learning}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": None}, r"\[learning\] has no epochs; it needs input, output, train, epochs, rate"),
        ({"learning_rate": 0.1}, r"unknown key 'learning_rate' in \[learning\] \(did you mean rate\?\)"),
        ({"input": "input"}, r"input of \[learning\] is 'input'; it must be one of inputs, hidden, outputs"),
        ({"output": "inputs"}, r"output of \[learning\] is inputs; it must be neither a source nor the input"),
        ({"train": "no.csv"}, r"no.csv, for train of \[learning\], does not exist"),
        ({"train": {"inputs": [[0.1, 0.2]]}}, r"train of \[learning\] needs either targets or labels"),
        (
            {"train": {"inputs": [[0.1, 2.0]], "labels": [1]}, "batch_size": 1},
            "reach from 0.1 to 2; as rates of inputs",
        ),
        ({"train": {"inputs": [[0.1] * 3], "labels": [1]}}, "have 3 columns for 4 neurons of inputs"),
        ({"train": {"inputs": [[0.1]], "labels": [1, 0]}}, r"labels of train .* have shape \(2,\), and the inputs"),
        (
            {"train": {"inputs": [[0.1]], "labels": [0.5]}},
            "labels of train .* reach from 0.5 to 0.5; they are integers",
        ),
        ({"train": {"inputs": [[0.1]] * 3, "labels": [0, 1, 2]}}, "outputs has 4 neurons for 3 classes"),
        ({"test": {"inputs": [[0.1]], "labels": [2]}}, "has the label 2; those of train reach to 1"),
        ({"test": {"inputs": [[0.1]], "targets": [[0.2]]}}, "one has labels and the other has targets"),
        ({"batch_size": 6}, r"batch_size of \[learning\] is 6, and train has 5 samples"),
        ({"window": 30}, r"\[learning\]: free, with a window of 30, is 20"),
        ({"nudging": "both"}, r"nudging of \[learning\] is 'both'; it must be one of centered, one-sided"),
        ({"low": 0.7}, "low of .* is 0.7 and high is 0.6"),
        ({"decay": 2}, r"decay of \[learning\] is 2; it must be at most 1"),
    ],
)
def test_what_cannot_be_learned_is_refused(given: dict[str, Any], told: str, network: Path) -> None:
    with pytest.raises(InputError, match=told) as caught:
        read_task(make_network(changed(**given), network.parent))
    assert "\n" not in str(caught.value)


def test_a_network_is_refused_that_does_not_fit_its_learning(network: Path) -> None:
    tables = changed()
    for number, (key, value), told in (
        (2, ("rule", "transposed"), "rule of .* is 'transposed'; .*did you mean transpose"),
        (2, ("source", "hidden"), "is to be transposed .*, and none of those before it leads"),
        (2, ("weight", 0.1), "unknown key 'weight'"),
        (0, ("record_weights", {"every": 1}), "record_weights, which follows STDP in time"),
        (0, ("plasticity", {"rule": "contrastive"}), "has no limit; it needs limit"),
    ):
        projections = [dict(own) for own in tables["projection"]]
        projections[number][key] = value
        with pytest.raises(InputError, match=told):
            make_network(tables | {"projection": projections}, network.parent)
    with pytest.raises(InputError, match="its trials are the samples of a batch"):
        read_network(network, trials=4)
    fixed = [{key: own for key, own in one.items() if key != "plasticity"} for one in tables["projection"]]
    with pytest.raises(InputError, match=r"has .learning. and no projection that learns"):
        read_task(make_network(tables | {"projection": fixed}, network.parent))
    told_steps = simulate(network, "out.h5", "--steps", "10")
    assert told_steps.exit_code == 2 and "--steps is given, and the network learns" in told_steps.stderr
    (network.parent / "train.csv").write_text("x1,label\n0.1,0\n")
    told_csv = simulate(network, "out.h5")
    assert told_csv.exit_code == 2 and "has the columns x1, label; name those of the inputs input1" in told_csv.stderr
