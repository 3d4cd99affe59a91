"""H&E-like tiles: two stains added in optical density (Beer-Lambert), imaged by two slide scanners.

I = 240 exp(-(h H + e E)), where h and e are the densities of hematoxylin and eosin at a pixel, H and E the colours of
the stains. In tumour tiles (four to six of eight) nuclei become more numerous and darker as the finding rises. The
other tiles show stroma fibres and few nuclei, independent of the finding.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["STAINS", "render_tiles"]

STAINS: dict[str, tuple[np.ndarray, tuple[float, float]]] = {
    "A": (np.array([[0.65, 0.70, 0.29], [0.27, 0.92, 0.30]]), (1.0, 1.0)),
    "B": (np.array([[0.58, 0.74, 0.34], [0.34, 0.88, 0.36]]), (0.75, 1.35)),
}
"""By scanner: colours (R, G, B) of hematoxylin and eosin in optical density, and the strengths of both stains."""

WHITE = 240.0
_MICRONS = 64.0  # edge of a tile


def render_tiles(rng: np.random.Generator, finding: float, count: int, size: int, scanner: str) -> np.ndarray:
    """Tiles of a slide.

    Args:
        rng: Draws tissue and noise.
        finding: Finding of histology, in standard deviations.
        count: Number of tiles.
        size: Edge in pixels, which covers 64 microns.
        scanner: A key of `STAINS`.

    Returns:
        (count, size, size, 3) uint8.
    """
    tumour = np.arange(count) < round(count * rng.uniform(0.5, 0.75))
    return np.stack([_tile(rng, finding if each else None, size, scanner) for each in rng.permutation(tumour)])


def _tile(rng: np.random.Generator, finding: float | None, size: int, scanner: str) -> np.ndarray:
    scale = size / _MICRONS
    fibrous = finding is None
    nuclei = 7 if finding is None else round(float(np.clip(20 * np.exp(0.36 * finding), 4, 70)))
    darkness = 0.75 if finding is None else float(np.clip(0.85 + 0.14 * finding, 0.4, 1.4))
    hematoxylin = _nuclei(rng, nuclei, size, scale, darkness, thin=fibrous)
    grain = gaussian_filter(rng.normal(size=(size, size)), (1.2 * scale, (6 if fibrous else 1.2) * scale))
    grain /= grain.std()
    eosin = np.clip((0.75 if fibrous else 0.62) + 0.13 * grain, 0.05, None) * (1 - 0.6 * np.minimum(hematoxylin, 1))
    if not fibrous:
        eosin *= _cells(rng, size, scale)
    colours, strength = STAINS[scanner]
    h, e = (hematoxylin + 0.06) * strength[0], eosin * strength[1]
    density = h[..., None] * _unit(colours[0]) + e[..., None] * _unit(colours[1])
    image = WHITE * np.exp(-density) + rng.normal(0, 2.0, size=(size, size, 3))
    return np.rot90(np.clip(np.rint(image), 0, 255).astype(np.uint8), int(rng.integers(4)))


def _nuclei(
    rng: np.random.Generator, count: int, size: int, scale: float, darkness: float, *, thin: bool
) -> np.ndarray:
    """Density of hematoxylin (size, size): mottled ellipses that keep apart if there is room."""
    rows, columns = np.mgrid[:size, :size]
    density = np.zeros((size, size))
    for centre in _apart(rng, count, size):
        long = rng.uniform(3.0, 4.0) * scale
        short = long * (0.35 if thin else rng.uniform(0.7, 0.95))
        turn = rng.normal(0, 0.25) if thin else rng.uniform(0, np.pi)
        down, right = rows - centre[0], columns - centre[1]
        u, v = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
        inside = 1 / (1 + np.exp((np.hypot(u / long, v / short) - 1) * 6))
        density = np.maximum(density, darkness * rng.uniform(0.9, 1.1) * inside)
    mottle = gaussian_filter(rng.normal(size=(size, size)), 0.8 * scale)
    return density * np.clip(1 + 0.18 * mottle / mottle.std(), 0.4, 1.6)


def _apart(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Positions (count, 2): each is the candidate, of ten drawn, that is farthest from the earlier ones."""
    places = rng.uniform(0, size, size=(1, 2))
    for _ in range(count - 1):
        drawn = rng.uniform(0, size, size=(10, 2))
        gaps = np.linalg.norm(drawn[:, None] - places[None], axis=-1).min(1)
        places = np.concatenate([places, drawn[gaps.argmax()][None]])
    return places


def _cells(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Paler sinusoids between plates of cells (size, size), 0.35 to 1."""
    field = gaussian_filter(rng.normal(size=(size, size)), 3.5 * scale)
    return 1 - 0.65 * np.exp(-((field / field.std() / 0.22) ** 2))


def _unit(colour: np.ndarray) -> np.ndarray:
    return colour / np.linalg.norm(colour)
