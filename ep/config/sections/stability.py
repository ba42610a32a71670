"""The keys of what keeps a training stable."""

from dataclasses import dataclass

from spikesim.ep.config.sections.options import option

__all__ = ["StabilitySettings"]


@dataclass(frozen=True)
class StabilitySettings:
    """What is watched and steered while the network learns."""

    beta_control: str = option(
        "none",
        "Whether beta is controlled so that the mean difference between r+ and r- in the top layer is "
        "`rate_difference`.",
        choices=("none", "rate-difference"),
    )
    rate_difference: float = option(
        0.02, "Mean difference between r+ and r- in the top layer to which beta is controlled.", above=0, high=1
    )
    beta_low: float = option(0.25, "Smallest beta when it is controlled.", above=0, high=64)
    beta_high: float = option(8.0, "Largest beta when it is controlled.", above=0, high=64)
    activity_floor: float = option(
        0.05, "Below this mean firing probability of a channel, homeostasis raises its bias.", low=0, high=1
    )
    activity_ceiling: float = option(
        0.25, "Above this mean firing probability of a channel, homeostasis lowers its bias.", above=0, high=1
    )
    homeostasis: float = option(
        0.5,
        "Change of a bias in a mini-batch per unit of activity beyond the floor or the ceiling; 0 for none.",
        low=0,
        high=10,
    )
    target_rate: float | None = option(
        None,
        "Target mean firing probability of a layer: activity above it is penalized, and the floor of its channels is "
        "at most half of it.",
        above=0,
        high=1,
        optional=True,
    )
    penalty_rate: float = option(
        0.02,
        "Change of the activity penalty of a layer in a mini-batch, as a share of its mean error, for an activity of "
        "twice the `target_rate`.",
        low=0,
        high=10,
    )
    spectral_norm_limit: float | None = option(
        0.9,
        "Weights between two layers are scaled down while their spectral norm exceeds this: at the start until it does "
        "not, in training by at most a 32nd at a time. Below 1 the dynamics converge.",
        above=0,
        high=10,
        optional=True,
    )
    spectral_norm_every: int = option(
        50,
        "Mini-batches between two measurements of the spectral norm within an epoch, while it is above half of its "
        "limit; it is measured before each test, too.",
        low=1,
        high=1_000_000,
    )
