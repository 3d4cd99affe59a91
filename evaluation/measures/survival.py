"""How well a risk orders the times of patients, with censoring."""

import numpy as np

__all__ = ["concordance"]


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> dict[str, float]:
    """Harrell's C-index (doi:10.1001/jama.1982.03320430047030).

    Two patients can be compared if the one with the shorter time had the event; with equal times, if one had the event
    and the other was censored.

    Args:
        time: (N,), of the event or of the end of observation; patients with NaN are in no pair.
        event: (N,) bool.
        risk: (N,), larger where the event is expected earlier.

    Returns:
        `c_index`, NaN without comparable pairs, and the numbers of pairs that are `concordant`, `discordant`, and
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
