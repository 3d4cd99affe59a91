"""The follow-up scan as a latent diffusion from the baseline scan (HemExp)."""

from medzoo.models.followup.diffusion import FollowupDiffusion, Forecast
from medzoo.models.followup.masks import resized

__all__ = ["FollowupDiffusion", "Forecast", "resized"]
