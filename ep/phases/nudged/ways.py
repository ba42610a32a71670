"""The ways to respond to a nudge, by the name that the configuration resolves to (`dynamics.nudged_phase`)."""

from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.phases.nudged.clamped_drive import ClampedDrive
from spikesim.ep.phases.nudged.linear_response import LinearResponse
from spikesim.ep.phases.nudged.live import Live
from spikesim.ep.phases.nudged.response import NudgeResponse

__all__ = ["RESPONSES", "response_of"]

RESPONSES: dict[str, type[NudgeResponse]] = {
    "linear-response": LinearResponse,
    "clamped-spikes": ClampedDrive,
    "live-spikes": Live,
}


def response_of(dynamics: DynamicsSettings) -> NudgeResponse:
    """The way that a configuration asks for."""
    return RESPONSES[dynamics.nudged_phase]()
