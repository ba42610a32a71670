"""A training run by the page: what docs/run-file.md says that its file holds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from by_the_manual import heads as hd
from by_the_manual import integers as it
from by_the_manual import learning as ln
from by_the_manual import network as nt
from by_the_manual import normalization as nm
from by_the_manual import phases as ph
from by_the_manual import stability as st
from by_the_manual.chance import order_of_epoch, sign_of, stream_of
from by_the_manual.dynamics import Counts, Network, Parameters, State, Window
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from numpy.typing import NDArray


class Run:
    """A training run.

    Parameters
    ----------
    config : dict
        The configuration in full, as the run file has it.
    images : uint8 (n, H, W, C), two of them
        For training and for tests, all of them.
    labels : int64 (n,), two of them
    start : Parameters, optional
        Instead of calibrated ones.
    """

    def __init__(
        self,
        config: dict[str, Any],
        images: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        labels: tuple[Integers, Integers],
        start: Parameters | None = None,
    ) -> None:
        self.config, self.seed, self.labels = config, config["seed"], labels
        factor = config["data"]["std_factor"]
        self.images = [it.normalized(own, images[0], factor) for own in images]
        self.samples = config["data"]["limit"] or len(images[0])
        self.test_samples = config["data"]["test_limit"] or len(images[1])
        self.layers = nt.build(config["model"]["layers"], images[0].shape[1:])
        self.sides = hd.sides_of_heads(self.layers, config["error_signals"]["grid"])
        classes = int(labels[0].max()) + 1
        fixed = config["error_signals"]["learning"] == "fixed"
        self.parameters, deviations = ln.initial(
            self.layers, self.sides, classes, config["model"], self.seed, fixed=fixed
        )
        names = list(self.parameters.weights)
        heads = config["error_signals"]["learning_rate"]
        rates = ln.learning_rates(deviations, names, config["optimizer"], heads)
        self.optimizer = ln.Optimizer(config["optimizer"], rates)
        self.parameters = self.parameters if start is None else start
        self.normalization: nm.Normalization | None = None
        if config["model"].get("normalization") == "running-statistics":
            self.normalization = nm.Normalization(self.layers, self.parameters, config["model"])
        self.norm = np.inf  # the largest spectral norm, as it was last measured
        if start is None:
            self.begin()

    def network(self) -> Network:
        """The layers with their parameters as they are."""
        refractory = self.config["model"].get("refractory", 0)
        return Network(self.layers, self.parameters, self.config["dynamics"], self.seed, refractory)

    def at_rest(self, which: int, samples: Integers) -> State:
        """Training samples (0) or test samples (1) at rest."""
        return self.network().at_rest(self.images[which][samples], samples)

    @follows(
        """
        Then those of the layers are moved while the dynamics run (`ep/training/calibration.py`), on the first
        `model.calibration_samples` samples:
        """,
        """
        Calibration and the limit of the spectral norm ("Stability") take turns, until no weights have to be scaled;
        where a layer then fires from rest at less than a quarter of its `model.activity`, all weights but those of the
        first layer are halved instead of that. After six turns a last calibration ends it.
        """,
    )
    def begin(self) -> None:
        """Calibrate the biases and limit the spectral norm."""
        model, limit = self.config["model"], self.config["stability"]["spectral_norm_limit"]
        ids = np.arange(min(self.samples, model["calibration_samples"]))
        for _ in range(6):
            self.calibrate(ids)
            if limit is None:
                return
            rates, found = self.coupling(stream_of(40, "calibration"))
            self.norm = found.max()
            if any(own.mean() < model["activity"] / 4 for own in rates):
                for layer in self.layers[1:]:
                    self.scaled[layer.name] *= np.float32(0.5)
            elif not st.limited(self.layers, self.scaled, found, limit):
                return
            self.fold()
        self.calibrate(ids)

    @property
    def scaled(self) -> dict[str, Any]:
        """What is multiplied to make the weights of a layer smaller, by name."""
        return self.parameters.weights if self.normalization is None else self.normalization.gains

    def fold(self) -> None:
        """Let the network follow what its layers have learned."""
        if self.normalization is not None:
            self.normalization.fold(self.parameters)

    def calibrate(self, ids: Integers) -> None:
        """Calibrate the biases on these samples, and before them the statistics."""
        own, state = self.normalization, self.at_rest(0, ids)
        biases = self.parameters.biases if own is None else own.biases

        def moved(number: int) -> None:
            if own is not None:
                nm.calibrate(own, self.parameters, state.potential, self.layers[: number + 1])
                own.fold(self.parameters)
                state.external[0] = self.at_rest(0, ids).external[0]

        first = 0 if own is None else len(self.layers)
        st.calibrate(self.network, biases, state, self.config["model"]["activity"], first, moved)

    @follows(
        """
        It is measured at the start, before the test of each epoch and, while it is above half of its limit, before
        every `stability.spectral_norm_every`-th mini-batch of an epoch (not the first), after a free phase of these
        samples, by the Lanczos iteration, from above and to a part in a thousand.
        """,
    )
    def coupling(self, stream: int) -> tuple[list[Reals], Reals]:
        """The mean rates of a free phase of the first samples, (n, neurons) by layer, and the spectral norm in it."""
        state = self.at_rest(0, np.arange(min(self.samples, 8)))
        rates = st.free_rates(self.network(), state, stream)
        return rates, st.coupling(self.network(), rates)

    @follows(
        """
        at the start by at least 1/64, in turn with the calibration, up to six times; from then on by at least 31/32,
        once at a time, for the norm follows the rates and can double within some mini-batches, and it is measured again
        for the run file.
        """,
    )
    def limit(self, epoch: int) -> Reals:
        """The spectral norm in an epoch, after its limit has been applied."""
        stream, limit = stream_of(epoch, "test"), self.config["stability"]["spectral_norm_limit"]
        found = self.coupling(stream)[1]
        if limit is not None and st.limited(self.layers, self.scaled, found, limit, 31 / 32):
            self.fold()
            found = self.coupling(stream)[1]
        self.norm = found.max()
        return found

    def limit_in_time(self, epoch: int, batch: int) -> None:
        """Hold the weights below the limit before this mini-batch, counted from 0, if it is time."""
        stability = self.config["stability"]
        limit, every = stability["spectral_norm_limit"], stability["spectral_norm_every"]
        if limit is not None and batch > 0 and batch % every == 0 and self.norm > limit / 2:
            self.limit(epoch)

    def epochs(self) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """The rows of the mini-batches of each epoch, and the row of the epoch."""
        size, epochs = self.config["data"]["batch_size"], self.config["optimizer"]["epochs"]
        batches = -(-self.samples // size)
        for epoch in range(epochs):
            order = order_of_epoch(self.samples, epoch, self.seed)
            rows = []
            for batch in range(batches):
                progress = (epoch * batches + batch) / (epochs * batches)
                factor = ln.schedule(progress, self.config["optimizer"])
                sign = sign_of(epoch, batch, self.seed)
                self.limit_in_time(epoch, batch)
                row = self.batch(epoch, order[batch * size : (batch + 1) * size], progress, sign)
                rows.append({**row, "learning_rate": factor * self.config["optimizer"]["learning_rate"]})
            yield rows, self.test(epoch)

    @follows(
        "For each mini-batch (`ep/phases/workspace.py`, `ep/training/learning/learner.py`):",
        "The optimizer moves the float32 parameters along the contrast (`ep/training/learning/optimizers.py`),",
        "Each mini-batch, also a last one with fewer samples, is one step.",
        """
        or they stay as they start (`error_signals.learning = "fixed"`):
        """,
    )
    def batch(self, epoch: int, ids: Integers, progress: float, sign: int) -> dict[str, Any]:
        """One mini-batch, after this share of the training: its row of /batches, and the next parameters.

        sign: of the nudge, where there is a single one.
        """
        settings, labels, network = self.config["dynamics"], self.labels[0][ids], self.network()
        heads = hd.make_heads(self.layers, self.sides, self.parameters, settings["cost"])
        norms = [
            np.sqrt(float((whole**2).sum())) * 2.0**-exponent
            for whole, exponent in [*zip(network.integers, network.exponents, strict=True), _of(heads[-1])]
        ]
        (rest, counts), (plus, plus_counts), (minus, minus_counts) = self.phases(
            epoch, ids, network, heads, progress, sign
        )
        contrast = ln.Contrast(self.layers, settings, self.images[0][ids], rest, plus, minus)
        phases = counts, plus_counts, minus_counts
        length = settings["window_free"]
        logits = [head.logits(head.features(rest.sums[head.layer]), length) for head in heads]
        rules = {head.name: hd.delta_rule(head, rest.sums[head.layer], length, labels) for head in heads}
        gradients = {layer.name: contrast.of(number) for number, layer in enumerate(self.layers)} | rules
        if self.config["error_signals"]["learning"] == "fixed":
            for weight, bias in (gradients[head.name] for head in heads[:-1]):
                weight[...], bias[...] = 0, 0
        changes = self.move(gradients, rest, ln.schedule(progress, self.config["optimizer"]))
        loss, correct = self.answer(heads, logits, labels)
        return {
            "samples": len(ids),
            "loss": loss,
            "correct": correct,
            "head_loss": [head.losses(own, labels).mean() for head, own in zip(heads, logits, strict=True)],
            "head_correct": [int((own.argmax(axis=1) == labels).sum()) for own in logits],
            "rate_difference": contrast.rate_difference(),
            "weight_norm": norms,
            "weight_change": [changes[name] for name in [*(layer.name for layer in self.layers), "readout"]],
            **{name: [getattr(own, name) for own in phases] for name in (*COUNTED, "residual")},
            "hopfield": [own.hopfield / len(ids) for own in phases],
        }

    def answer(self, heads: list[hd.Head], logits: list[Reals], labels: Integers) -> tuple[float, int]:
        """The mean loss of what the network answers, and how many of its answers are right."""
        alone = self.config["error_signals"]["answer"] == "readout"
        return hd.answer(heads, len(self.layers), alone, logits, labels)

    def phases(
        self, epoch: int, ids: Integers, network: Network, heads: list[hd.Head], progress: float, sign: int = 1
    ) -> tuple[tuple[Window, Counts], tuple[Window, Counts], tuple[Window, Counts]]:
        """The window and the counts of each of the three phases of some training samples."""
        settings = self.config["dynamics"]
        state = network.at_rest(self.images[0][ids], ids)
        steps, length = settings["steps_free"], settings["window_free"]
        stream, onset = stream_of(epoch, "free"), ph.onset_of(network)
        rest, counts = ph.free(network, state, stream, steps=steps, window=length, onset=onset)
        counts.macs[0] += len(self.layers[0].weight) * len(ids)
        rest.potentials = [own.copy() for own in state.potential]
        strengths = settings["beta"] * hd.strengths(heads, self.config["error_signals"], progress)
        return (rest, counts), *ph.Nudged(network, heads, state, rest, self.labels[0][ids], strengths).both(epoch, sign)

    def traces(self, epoch: int) -> list[dict[str, Any]]:
        """The rows of /traces after an epoch: its phases once more, with the weights as the epoch left them."""
        heads = hd.make_heads(self.layers, self.sides, self.parameters, self.config["dynamics"]["cost"])
        ids = np.arange(min(self.samples, self.config["record"]["traces"]))
        phases = self.phases(epoch, ids, self.network(), heads, (epoch + 1) / self.config["optimizer"]["epochs"])
        return [{"phase": index, **row} for index, (window, _) in enumerate(phases) for row in window.traces()]

    def move(self, gradients: dict[str, Any], rest: Any, factor: float) -> dict[str, float]:
        """One step of the optimizer; the mean change of the weights of each layer and head."""
        self.optimizer.t += 1
        activity = [
            sums.reshape(-1, layer.shape[2]).sum(axis=0) / (it.ONE * rest.length * sums.size / layer.shape[2])
            for sums, layer in zip(rest.sums, self.layers, strict=True)
        ]
        changes = {}
        names = [layer.name for layer in self.layers]
        for name, (weight, bias) in gradients.items():
            own = self.normalization if name in names else None
            learned = self.parameters if own is None else own
            weights, biases, mean = learned.weights[name], learned.biases[name], None
            gain = None if own is None else own.gain_gradient(name, weight, bias)
            if name in names[1:] and self.config["optimizer"]["centering"]:
                layer = names.index(name)
                unit = ln.unit_below(rest.network, layer, rest.length)
                mean = ln.seen_by_weights(self.layers[layer], ln.below(rest, layer), unit)
                weight = ln.centered(weight, bias, mean)
            if own is not None:
                layer = names.index(name)
                weight = own.projected(name, weight)
                own.observe(self.parameters, rest.potentials[layer], self.layers[layer], factor)
                own.gains[name] += self.optimizer.change(f"{name}/gain", own.gains[name], gain, factor)
            biases += self.optimizer.change(f"{name}/bias", biases, bias, factor)
            before, change = weights.copy(), self.optimizer.change(f"{name}/weight", weights, weight, factor)
            weights += change
            changes[name] = float(np.abs(change).astype(np.float64).mean())
            if mean is not None and own is not None:
                own.means[name] += ln.given_back(before, weights, nm.without_mean(mean))
            elif mean is not None:
                biases -= ln.given_back(before, weights, mean)
        learned = self.parameters if self.normalization is None else self.normalization
        for layer, own in zip(self.layers, activity, strict=True):
            learned.biases[layer.name] += st.homeostasis(own, self.config["stability"])
        self.fold()
        return changes

    def test(self, epoch: int) -> dict[str, Any]:
        """The limit of the spectral norm and the test after an epoch: the row of /epochs, and all spikes."""
        norms = self.limit(epoch)
        settings, network = self.config["dynamics"], self.network()
        ids, labels = np.arange(self.test_samples), self.labels[1][: self.test_samples]
        state, stream = self.at_rest(1, ids), stream_of(epoch, "test")
        steps, length = settings["steps_free"], settings["window_free"]
        onset = ph.onset_of(network)
        window, counts = ph.free(network, state, stream, steps=steps, window=length, onset=onset, record=True)
        counts.macs[0] += len(self.layers[0].weight) * len(ids)
        heads = hd.make_heads(self.layers, self.sides, self.parameters, settings["cost"])
        logits = [head.logits(head.features(window.sums[head.layer]), length) for head in heads]
        loss, correct = self.answer(heads, logits, labels)
        return {
            "test_loss": loss,
            "test_correct": correct,
            **{f"test_{name}": getattr(counts, name) for name in COUNTED if name != "saturated"},
            "test_rates": [_histogram(sums, length) for sums in window.sums],
            "traces": self.traces(epoch) if self.config["record"]["traces"] else [],
            "spectral_norm": norms,
            "train": state.train,
        }


COUNTED = ("spikes", "events_forward", "events_feedback", "macs", "saturated")


def _of(head: hd.Head) -> tuple[Integers, int]:
    return head.weights, head.exponent


def _histogram(sums: Integers, length: int) -> Integers:
    """Neurons by their mean firing probability, as docs/run-file.md has it: 0, then 32 bins with their upper ends."""
    bins = -(-sums.ravel() * 32 // (it.ONE * length))
    return np.bincount(bins, minlength=33)
