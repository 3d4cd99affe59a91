"""Radiomics of colour images: all families of their grey image, and first-order features of each channel.

Shape is that of the mask, which is made on the grey image, and so is the same in every channel. Texture of a channel is
nearly that of the grey image, at three times the cost. What grey loses is hue, such as the balance of two stains; the
first-order features of red, green and blue inside the same mask keep it. pyradiomics takes one channel only.
"""

import numpy as np

__all__ = ["CHANNELS", "to_grey"]

CHANNELS = ("red", "green", "blue")
_SHARES = np.array([19595, 38470, 7471])  # in 65536ths: ITU-R BT.601 as Pillow has it, 0.299, 0.587 and 0.114


def to_grey(images: np.ndarray) -> np.ndarray:
    """(N, *spatial) luma of images (N, 3, *spatial): of uint8 the uint8 that Pillow's `convert("L")` gives."""
    if images.dtype == np.uint8:
        total = np.full((len(images), *images.shape[2:]), 1 << 15, np.int64)  # rounds to nearest
        for channel, share in enumerate(_SHARES):
            total += images[:, channel] * share
        return (total >> 16).astype(np.uint8)
    return np.tensordot(images, _SHARES / 65536, ([1], [0]))
