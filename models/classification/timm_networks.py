"""Any 2-D network of timm by name, with the stem that 28-pixel images need.

The published MedMNIST rows "ResNet-18/50 (28)" use the CIFAR form of ResNet (arXiv:1512.03385, section 4.2): a 3x3
convolution of stride 1 and no max-pooling, because the ImageNet stem would leave 7x7 features of a 28x28 image.
"""

import difflib
from typing import Any, Literal

import timm
from torch import nn

from medzoo.models.classification.timm_weights import checked_weights

__all__ = ["timm_network"]


def timm_network(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    small_stem: bool | Literal["stride"] = False,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """Build a timm classifier that returns logits.

    Args:
        name: A name that `timm.list_models()` knows, such as `resnet18`, `vit_tiny_patch16_224` or `ghostnet_100`.
        in_channels: Image channels.
        num_classes: Number of logits.
        small_stem: Keep the resolution of small images: the first convolution gets stride 1 (and 3x3 kernels where it
            was 7x7), a max-pooling after it is dropped. `stride` keeps 7x7 kernels, and with them pretrained weights.
        pretrained: Load the published ImageNet weights (needs the network, once; they carry their own licence), or
            those of `pretrained_cfg_overlay={file: <weights>}`. The network's attribute `trained_on` is then the mean
            and the standard deviation, by channel, of the images that they expect.
        **options: Handed to `timm.create_model`, for instance `drop_rate`, `img_size` or `patch_size`.

    Returns:
        A network from (B, in_channels, H, W) to (B, num_classes).

    Raises:
        ValueError: If timm has no such network, `small_stem` is asked of one whose stem is not a convolution or would
            throw a pretrained one away, or pretrained weights cannot be had or are of another network.
    """
    known = timm.list_models()
    if name.split(".")[0] not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else "; see timm.list_models()"
        raise ValueError(f"timm has no network '{name}'{hint}")
    with checked_weights(name):
        net: Any = timm.create_model(
            name, pretrained=pretrained, in_chans=in_channels, num_classes=num_classes, **options
        )
    if small_stem:
        _keep_resolution(net, name, small_stem, pretrained=pretrained)
    if pretrained:
        expected: Any = net.pretrained_cfg
        net.trained_on = (expected["mean"], expected["std"])
    return net


def _keep_resolution(net: nn.Module, name: str, small_stem: bool | str, *, pretrained: bool) -> None:
    """Take the early strides out of `net`, in place."""
    stem = next((part for part in ("conv1", "conv_stem") if isinstance(getattr(net, part, None), nn.Conv2d)), None)
    if stem is None:
        raise ValueError(
            f"small_stem={small_stem} does not fit '{name}': its stem is not one convolution; leave it out"
        )
    conv = getattr(net, stem)
    if conv.kernel_size == (7, 7) and small_stem != "stride":
        if pretrained:
            raise ValueError(
                f"small_stem=true would throw the pretrained 7x7 stem of '{name}' away: small_stem=stride keeps it and "
                "takes only its stride and the pooling out, small_stem=false leaves it (images of 128 pixels and more)"
            )
        conv = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as timm initialises its ResNets
        setattr(net, stem, conv)
    conv.stride = (1, 1)
    if isinstance(getattr(net, "maxpool", None), nn.Module):
        net.maxpool = nn.Identity()
