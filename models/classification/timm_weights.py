"""Pretrained weights of timm, checked: whether they belong to this network, and where they come from."""

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from timm.models import _builder, _hub
from torch import Tensor, nn

__all__ = ["checked_weights"]

log = logging.getLogger(__name__)

ENOUGH = 0.9  # of the weights below the head
_HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
_PATIENCE = 5  # seconds for the hub to answer


@contextmanager
def checked_weights(name: str) -> Iterator[None]:
    """Let `timm.create_model` load pretrained weights only if they fit the network, and report how many do.

    Args:
        name: Of the network, for messages.

    Raises:
        ValueError: If weights are not available or readable, or cover less than 90% of the network below its head.
    """
    load, fetch = _builder.load_pretrained, _hub.hf_hub_download
    _builder.load_pretrained = partial(_load, load, name)
    try:
        yield
    finally:
        _builder.load_pretrained, _hub.hf_hub_download = load, fetch


def _load(load: Callable[..., None], name: str, net: nn.Module, **options: Any) -> None:
    """Call timm's `load`, with checks."""
    config: dict[str, Any] = options["pretrained_cfg"]
    kind, place = _builder._resolve_pretrained_source(config)
    source = str(place[0] if isinstance(place, tuple) else place)
    if kind == "file" and not Path(source).is_file():
        raise ValueError(f"weights of '{name}': no file {source}")
    if kind == "hf-hub" and not _answers():  # timm would retry for a minute; cached files still work
        _hub.hf_hub_download = partial(_hub.hf_hub_download, local_files_only=True)  # type: ignore[assignment]
    net.load_state_dict = partial(_take, net, name, source, _heads(config))  # type: ignore[method-assign]
    try:
        load(net, **options)
    except _Told:
        raise
    except Exception as error:  # of as many kinds as there are sources and formats
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        if kind == "file":
            raise ValueError(f"weights of '{name}': {source} cannot be read as such ({reason})") from error
        raise ValueError(
            f"weights of '{name}': {source} cannot be fetched; without a network, give the network its file "
            "(+lightning_module.net.pretrained_cfg_overlay={file: <weights>.safetensors}), or copy "
            "~/.cache/huggingface from a machine that has fetched it"
        ) from error
    finally:
        del net.load_state_dict


class _Told(ValueError):
    """An error of ours that passes through timm."""


def _take(
    net: nn.Module, name: str, source: str, heads: tuple[str, ...], given: Mapping[str, Any], **_: object
) -> object:
    """A `load_state_dict` that checks the share of the network below its head that it loads."""
    own = {key: weight for key, weight in net.state_dict().items() if not key.startswith(heads)}
    fitting = [key for key in own if isinstance(given.get(key), Tensor) and given[key].shape == own[key].shape]
    share = sum(own[key].numel() for key in fitting) / max(1, sum(weight.numel() for weight in own.values()))
    if share < ENOUGH:
        other = next((key for key in own if key in given and key not in fitting), None)
        sides = f"not in it: {_some(key for key in own if key not in given)}; in it: {_some(given)}"
        if other and isinstance(given[other], Tensor):
            sides = f"{other} is {tuple(own[other].shape)} here and {tuple(given[other].shape)} there"
        raise _Told(f"weights of '{name}': {source} holds {share:.0%} of them, too few to be of this network; {sides}")
    if share < 1:
        absent = [key for key in own if key not in fitting]
        log.warning("weights of '%s': %.1f%% loaded from %s; not %s", name, 100 * share, source, _some(absent))
    state = net.state_dict()
    kept = {key: value for key, value in given.items() if key in state and state[key].shape == value.shape}
    return nn.Module.load_state_dict(net, kept, strict=False)


def _heads(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("classifier") or ()
    return tuple(f"{head}." for head in ((named,) if isinstance(named, str) else named))


def _some(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(map(str, names[:count])) + (f" and {len(names) - count} more" if len(names) > count else "")


def _answers() -> bool:
    """Whether the hub answers at all."""
    try:
        with urllib.request.urlopen(urllib.request.Request(_HUB, method="HEAD"), timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
