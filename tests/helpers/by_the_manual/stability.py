"""Section "Stability", as far as it is on by default, and the calibration of section "Both"."""

from collections.abc import Callable
from typing import Any

import numpy as np
from by_the_manual import integers as it
from by_the_manual import network as nt
from by_the_manual.chance import stream_of
from by_the_manual.dynamics import Network, Settings, State
from by_the_manual.integers import Reals
from by_the_manual.page import follows
from by_the_manual.phases import free, onset_of
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds


@follows(
    """
    after each of at most 40 rounds of 16 steps, without an onset, from rest in the first round and from where the last
    one ended in the others, a bias moves by what the mean firing probability of its layer, in the window, lacks to
    `model.activity`, by 0.04 at most. The calibration ends when the activity of every layer is within a twentieth of
    what is wanted: 20 % may be 20.9 %.
    """,
)
def calibrate(
    make: Callable[[], Network],
    biases: dict[str, Any],
    state: State,
    activity: float,
    first: int,
    moved: Callable[[int], None],
) -> None:
    """Move the biases; `make` gives the network with the parameters as they are, `state` is at rest.

    first: the round in which it may end. moved: told the number of each round behind which it does not.
    """
    for number in range(40):
        network = make()
        length = min(network.settings["window_free"], 16)
        window, _ = free(network, state, stream_of(number, "calibration"), steps=16, window=length, onset=0)
        found = np.array([sums.sum() / (it.ONE * length * sums.size) for sums in window.sums])
        if number >= first and (np.abs(found - activity) <= 0.05 * activity).all():
            break
        for layer, lacking in zip(network.layers, activity - found, strict=True):
            biases[layer.name] += np.float32(np.clip(lacking, -0.04, 0.04))
        moved(number)


def free_rates(network: Network, state: State, stream: int) -> list[Reals]:
    """Mean rates of a free phase from rest, (n, neurons), one a layer."""
    steps, length = network.settings["steps_free"], network.settings["window_free"]
    window, _ = free(network, state, stream, steps=steps, window=length, onset=onset_of(network))
    return [sums / (it.ONE * length) for sums in window.sums]


@follows(
    """
    - *activity*: the bias of a channel moves by `stability.homeostasis` times what its mean firing probability in the
    free phase lacks to the floor or has above the ceiling, by at most 0.02 per mini-batch; between them nothing
    happens.
    """,
)
def homeostasis(activity: Reals, stability: Settings) -> NDArray[np.float32]:
    """Change of the biases of a layer from the mean firing probability of its channels."""
    lacking = np.maximum(stability["activity_floor"] - activity, 0)
    beyond = np.maximum(activity - stability["activity_ceiling"], 0)
    return np.clip(stability["homeostasis"] * (lacking - beyond), -0.02, 0.02).astype(np.float32)


@follows(
    r"""
    - *spectral norm* of layer $l$ with the one below: $\sqrt{\gamma}$ times the largest singular value of
    $D_l W_l \mathrm{Pool} D_{l-1}$, $D$ the neurons that are neither silent nor certain (mean rate between 0.02 and
    0.98); of the first eight training samples, the one with the largest counts.
    """,
)
def coupling(network: Network, rates: list[Reals]) -> Reals:
    """Of each layer with the one below, 0 for the first; the program's may be a thousandth larger."""
    found = np.zeros(len(network.layers))
    linear = [((own > 0.02) & (own < 0.98)).astype(np.float64) for own in rates]
    for layer in range(1, len(network.layers)):
        weights = network.weights[layer] * 2.0 ** -network.exponents[layer]
        for sample, (own, below) in enumerate(zip(linear[layer], linear[layer - 1], strict=True)):
            pool = pool_matrix(network, layer - 1, rates[layer - 1][sample])
            matrix = sparse.diags_array(own) @ weights @ pool @ sparse.diags_array(below)
            if not matrix.count_nonzero():
                continue
            largest = svds(matrix, k=1, v0=np.ones(min(matrix.shape)), return_singular_vectors=False)[0]
            found[layer] = max(found[layer], largest * np.sqrt(network.settings["feedback_gain"]))
    return found


@follows('For the spectral norm ("Stability") the winners are those with the highest $r$.')
def pool_matrix(network: Network, index: int, rates: Reals) -> sparse.csr_array:
    """Pool of a layer with these rates, (neurons,), or the identity, as a matrix (neurons read, neurons)."""
    layer = network.layers[index]
    if not layer.pool:
        return sparse.eye_array(layer.neurons).tocsr()
    cells = nt.four_cells(np.arange(layer.neurons)[None], layer.shape)[0]
    shares = np.full(cells.shape, 0.25)
    if network.winning(index):
        shares = nt.four_cells(nt.winners(rates[None], layer.shape), layer.shape)[0].astype(np.float64)
    return sparse.csr_array(
        (shares.ravel(), (np.tile(np.arange(cells.shape[1]), 4), cells.ravel())),
        (cells.shape[1], layer.neurons),
    )


@follows(
    r"""
    Where it exceeds `stability.spectral_norm_limit`, the weights $W_l$ are multiplied by
    $\lfloor 64\, \mathrm{limit} / \mathrm{norm} \rfloor / 64$:
    """,
    """
    The estimate of the spectral norm is made of matrix products on one thread; weights are scaled by multiples of 1/64,
    so that its last bits do not count.
    """,
)
def limited(layers: list[nt.Layer], scaled: dict[str, Any], found: Reals, limit: float, least: float = 1 / 64) -> bool:
    """Scale the weights, or gains, of the layers whose spectral norm exceeds the limit; whether there were any."""
    beyond = [index for index, value in enumerate(found) if value > limit]
    for index in beyond:
        factor = np.floor(64 * limit / found[index]) / 64
        scaled[layers[index].name] *= np.float32(max(factor, least))
    return bool(beyond)
