"""Configs of Hydra as plain dicts and lists."""

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

__all__ = ["given_settings", "plain"]


def plain(config: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """A config as dicts, lists and values.

    Args:
        config: As composed.
        resolve: Whether interpolations are resolved; else they stay text.
    """
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def given_settings() -> list[str]:
    """The settings on the command line as written, interpolations included."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    return [str(word) for word in words or ()]
