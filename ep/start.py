"""The parameters that a training run starts with: calibrated biases, and weights whose coupling is within its limit."""

import numpy as np

from spikesim.ep import phases as ph
from spikesim.ep.calibration import ROUNDS, calibrate
from spikesim.ep.config import Config
from spikesim.ep.coupling import SAMPLES, Reals, limit_coupling, measure_coupling
from spikesim.ep.model import Model, Parameters
from spikesim.ep.presentation import Presenter
from spikesim.ep.team import Team

COUPLING_ROUNDS = 4
"""Weights that are scaled down change the activity, hence the coupling: calibration and limit take turns."""
CALIBRATED = ph.stream_of(ROUNDS, ph.STREAM_CALIBRATION)


def needs_start(config: Config) -> bool:
    """Whether there is anything to do: an activity of 0 leaves all biases at 0."""
    return bool(np.any(np.asarray(config.model.activity)))


def start(
    model: Model, config: Config, parameters: Parameters, team: Team, presenter: Presenter, samples: int
) -> Reals | None:
    """Bring initial parameters, in place, to the wanted activity and below the limit of the coupling.

    Parameters
    ----------
    samples : int
        Training samples of the run; the first of them are looked at.

    Returns
    -------
    float64 (L,) or None
        The coupling as it was last measured, where it has a limit.

    Raises
    ------
    Stopped
    """
    if not needs_start(config):
        return None
    train, limit = presenter.dataset.train, config.stability.coupling_limit
    ids = np.arange(min(samples, config.model.calibration_samples))
    few = np.arange(min(samples, SAMPLES))
    found = None
    for _ in range(COUPLING_ROUNDS):
        calibrate(model, config, parameters, team, presenter.plain(train, ids), ids)
        if limit is None:
            return None
        found = measure_coupling(team, presenter.plain(train, few), few, CALIBRATED)
        if not limit_coupling(parameters, found, limit):
            break
    return found
