"""Evidence for a class in an image: Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391), written from the paper.

The paper explains convolutional networks. In a vision transformer, the feature map is the patch tokens before the last
attention: behind it, the logits may depend on a class token alone, and the patches would get no gradient.
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["grad_cam", "named_layer"]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def grad_cam(net: nn.Module, image: Tensor, target: int | Tensor, layer: str | None = None) -> Tensor:
    """Map the evidence for a class: features, weighted by their mean effect on the class's logit.

    Runs in evaluation mode and leaves modes, gradients and `requires_grad` of the network as they were. Works inside
    `torch.no_grad` and `torch.inference_mode`, and on a compiled network.

    Args:
        net: From (B, C, *spatial) to (B, K) logits.
        image: (B, C, *spatial), the network's input. If the network encodes the slices of a volume one by one, each
            slice has its own weights of the features.
        target: Index of the class, one for all images, or (B,).
        layer: Name of the module of `net` whose output is the feature map: (B, C, *grid), tokens (B, N, C), or
            (B, *grid, C) in timm's channels-last networks. By default the normalisation before the last attention of
            a vision transformer (`blocks[-1].norm1`), elsewhere the last module with a map larger than one pixel.

    Returns:
        (B, *spatial) in [0, 1] with a maximum of 1 in each image; all zero without evidence for the class.

    Raises:
        ValueError: If there is no such layer, its output is not a map, or it has no effect on the logit.
    """
    with torch.inference_mode(False), torch.enable_grad(), torch.compiler.set_stance("force_eager"), _evaluating(net):
        image, target = (
            image.detach().clone(),
            torch.as_tensor(target).clone(),
        )  # inference tensors take part in no graph
        features, gradient = _differentiated(net, _layer(net, image[:1], layer), image, target)
    size = image.shape[2:] if not _sliced(features, image) else image.shape[3:]
    features, gradient = (_as_map(net, values, size).float() for values in (features, gradient))
    weights = gradient.flatten(2).mean(2)
    evidence = torch.einsum("bc,bc...->b...", weights, features).relu()
    evidence = evidence.unflatten(0, (len(image), -1)) if len(size) < image.ndim - 2 else evidence
    evidence = _upsampled(evidence, _covered(net, image.shape[2:]), image.shape[2:])
    largest = evidence.flatten(1).amax(1).view(-1, *[1] * (evidence.ndim - 1))
    return torch.where(largest > 0, evidence / largest, 0.0)


def named_layer(net: nn.Module, name: str) -> nn.Module:
    """Module of a network.

    Args:
        net: The network.
        name: As in `net.named_modules()`, such as `layer4.1`.

    Returns:
        The module.

    Raises:
        ValueError: If there is none of this name; the message lists similar names.
    """
    modules = {path: part for path, part in net.named_modules() if path}
    if name not in modules:
        close = difflib.get_close_matches(name, modules, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(dict(net.named_children()))}"
        raise ValueError(f"layer='{name}': {type(net).__name__} has no such module; {hint}")
    return modules[name]


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module has its earlier mode."""
    modes = [(part, part.training) for part in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _layer(net: nn.Module, image: Tensor, name: str | None) -> nn.Module:
    """The layer of this name, or the default one."""
    if name is not None:
        return named_layer(net, name)
    found = _transformer(net)
    if found is None:
        return _last_map(net, image)
    norm = getattr([*found[0].get_submodule("blocks").children()][-1], "norm1", None)
    if not isinstance(norm, nn.Module):
        raise ValueError(f"{type(found[0]).__name__} has no blocks[-1].norm1, Grad-CAM's default: name a layer")
    return norm


def _last_map(net: nn.Module, image: Tensor) -> nn.Module:
    """The last module to return (B, C, *grid) of more than one pixel."""
    last: list[nn.Module] = []
    grid = slice(1, -1) if _channels_last(net) else slice(2, None)

    def note(part: nn.Module, inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or not (output.ndim == image.ndim or _sliced(output, image)):
            return
        if math.prod(output.shape[grid]) > 1:
            last[:] = [part]

    hooks = [part.register_forward_hook(note) for part in net.modules()]
    try:
        with torch.no_grad():
            net(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        raise ValueError(
            f"{type(net).__name__} has no map larger than a pixel of {tuple(image.shape[2:])}: name a layer"
        )
    if any(part is last[0] and "patch_embed" in name for name, part in net.named_modules()):
        raise ValueError(f"{type(net).__name__} has tokens whose positions Grad-CAM does not know: name a layer")
    return last[0]


def _sliced(output: Tensor, image: Tensor) -> bool:
    """Whether the output is (B * S, C, H, W), of the S slices of volumes (B, C, S, H, W)."""
    return output.ndim == 4 and image.ndim == 5 and len(output) == len(image) * image.shape[2]


def _differentiated(net: nn.Module, layer: nn.Module, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Output of a layer (of its last call), and the gradient of the logit with respect to it."""
    outputs: list[Tensor] = []

    def cut(part: nn.Module, inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(f"a layer that returns {type(output).__name__} has no map for Grad-CAM: name another")
        outputs[:] = [output.detach().requires_grad_()]  # nothing before it needs a gradient
        return outputs[0].clone()  # the next layer may work in place, which is not allowed on a leaf

    hook = layer.register_forward_hook(cut)
    try:
        logits = net(image)
    finally:
        hook.remove()
    score = logits[torch.arange(len(image)), target.cpu()].sum()
    gradient = None
    if outputs and score.requires_grad:
        (gradient,) = torch.autograd.grad(score, outputs, allow_unused=True)
    if gradient is None:
        raise ValueError(f"the logits of {type(net).__name__} do not depend on the layer: name another for Grad-CAM")
    return outputs[0].detach(), gradient


def _as_map(net: nn.Module, values: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, *grid) from a layer's output."""
    if values.ndim == len(size) + 2:
        return values.movedim(-1, 1) if _channels_last(net) else values
    found = _transformer(net)
    if found is None or values.ndim != 3:
        raise ValueError(f"a layer that returns {tuple(values.shape)} has no map for Grad-CAM: name another")
    grid = _patches(found[1], size)[0]
    prefix = values.shape[1] - math.prod(grid)
    if prefix not in (0, getattr(found[0], "num_prefix_tokens", 1)):  # MONAI's has a class token without this attribute
        raise ValueError(f"{values.shape[1]} tokens are not {' x '.join(map(str, grid))} patches: name another layer")
    return values[:, prefix:].transpose(1, 2).unflatten(2, grid)


def _covered(net: nn.Module, size: Sequence[int]) -> list[int]:
    """Pixels that a feature map covers: the image, or its whole patches."""
    found = _transformer(net)
    if found is None:
        return list(size)
    return [count * edge for count, edge in zip(*_patches(found[1], size), strict=True)]


def _upsampled(evidence: Tensor, covered: Sequence[int], size: Sequence[int]) -> Tensor:
    """(B, *size) from (B, *grid): the last patches may exceed the image, or not reach its last pixels."""
    filled = F.interpolate(evidence[:, None], list(covered), mode=_LINEAR[len(size)], align_corners=False)[:, 0]
    missing = [length - filled.shape[axis] for axis, length in enumerate(size, start=1)]
    return F.pad(filled, [edge for count in reversed(missing) for edge in (0, count)])


def _transformer(net: nn.Module) -> tuple[nn.Module, nn.Module] | None:
    """The part of timm's and MONAI's vision transformers that has blocks of tokens, and its patch embedding."""
    for part in net.modules():
        for child in part.children() if hasattr(part, "blocks") else ():
            if hasattr(child, "dynamic_feat_size") or hasattr(child, "patch_embeddings"):
                return part, child
    return None


def _patches(embedding: Any, size: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Number of patches along each axis, and the edges of a patch in pixels."""
    if hasattr(embedding, "dynamic_feat_size"):
        return tuple(embedding.dynamic_feat_size(tuple(size))), tuple(embedding.feat_ratio(as_scalar=False))
    edges = getattr(embedding.patch_embeddings, "stride", None)
    if edges is None:
        raise ValueError("Grad-CAM knows the patches of MONAI's ViT with proj_type=conv only")
    return tuple(length // edge for length, edge in zip(size, edges, strict=True)), tuple(edges)


def _channels_last(net: nn.Module) -> bool:
    return getattr(net, "output_fmt", None) == "NHWC"  # timm's Swin and others
