"""How well a risk orders the times of patients, some of whom were not followed to the end."""

import numpy as np

__all__ = ["concordance"]


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> dict[str, float]:
    """Harrell's C-index (doi:10.1001/jama.1982.03320430047030).

    Two patients can be compared if the one with the shorter time had the event; of equal times, if one had it and the
    other was seen without it.

    Args:
        time: (N,), of the event or of the end of observation; who has none (NaN) is in no pair.
        event: (N,) bool.
        risk: (N,), larger where the event is expected earlier.

    Returns:
        `c_index`, NaN where nobody can be compared, and the numbers of pairs that are `concordant`, `discordant` and
        `tied` in risk, which count half.
    """
    time, event, risk = np.asarray(time, float), np.asarray(event, bool), np.asarray(risk, float)
    followed = np.isfinite(time)
    time, event, risk = time[followed], event[followed], risk[followed]
    shorter = time[:, None] < time[None]
    first = event[:, None] & (shorter | ((time[:, None] == time[None]) & ~event[None]))
    concordant = int((first & (risk[:, None] > risk[None])).sum())
    tied = int((first & (risk[:, None] == risk[None])).sum())
    pairs = int(first.sum())
    index = (concordant + tied / 2) / pairs if pairs else float("nan")
    return {"c_index": index, "concordant": concordant, "discordant": pairs - concordant - tied, "tied": tied}
