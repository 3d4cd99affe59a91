"""The follow-up scan as a latent diffusion from the baseline scan (HemExp)."""

from medzoo.models.followup.diffusion import FollowupDiffusion, Forecast

__all__ = ["FollowupDiffusion", "Forecast"]
