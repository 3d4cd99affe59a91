"""Columns of a table that leak the outcome: found by their names, and by their values in the training patients.

The names are those of cBioPortal, TCGA (GDC, Xena, biotab) and clinical tables. A column that only looks like a leak
can be named in `known_before`.
"""

import re
from collections.abc import Collection, Sequence

import numpy as np
from scipy.stats import mannwhitneyu, spearmanr

__all__ = ["check_predictors", "check_telling", "is_leak", "telling"]

# Outcomes, measurements after treatment, and limits of assays that look like values. Matched against names in lower
# case with one _ between words.
_FREE = r"(disease|progress\w*|relapse|recur\w*|event|metasta\w*|failure|tumou?r|cancer|symptom|seizure|local\w*)"
_LEAKS = (
    r"(^|_)(os|pfs|pfi|dfs|dfi|dss|css|efs|rfs|mfs|dmfs|lrfs|ffs|lfs|ttp|ttr|tte|ttf|ttnt|rfi|efi)"
    r"_?(status|event|time|days?|months?|years?)?($|_)",
    r"surviv|death|(^|_)(dead|died|dies|dod|dob_dod|expired|demise|obit\w*)($|_)|deceas|mortal|fatal|lethal|autops",
    r"alive|(^|_)living($|_status|_or)|vital(_|$)|cause_of",
    rf"{_FREE}_?free|free_(surviv|status|month|interval|time)",
    r"censor|(^|_)events?($|_)|progress|recur|relaps|remission|metasta\w*_(at|after|during|on)_",
    r"time_?to_?event|new_?(\w+_)?(tumou?r|neoplasm|primary|lesion|metasta\w*)|(tumou?r|neoplasm|cancer|disease)_status|(^|_)evidence_of",
    r"recist|easl|(^|_)choi($|_)|li_?rads_tr|respon(se|d)|outcome|necrosis_after|(treatment|therapy)_(success|fail\w*)",
    r"(post|after)_?(\w+_)?(therap\w*|treat\w*|op\w*|surg\w*|resect\w*|tace|emboli\w*|chemo\w*|radi\w*|transplant\w*)($|_)",
    r"(^|_)fu($|_)|follow_?(up|ed)|lost_to|last_(\w+_)?(contact|communication|known|seen|visit|alive|news|date)",
    r"(day|week|month|year|time)s?_(to|until|till|of_(disease|follow|observ)\w*)($|_)|interval_",
    r"readmi|discharge|complication",
    r"(lower|upper)_limit",
)
_HARMLESS = ("fetoprotein_outcome_value",)  # TCGA's name of a laboratory value

PERFECT = 0.99
"""A single column with at least this area under the ROC curve is taken for the outcome."""
_ENOUGH = {"patients": 20, "of a class": 5}


def is_leak(name: str) -> bool:
    """Whether a column, by its name, leaks the outcome, is measured after treatment, or is a limit of an assay.

    Spelling does not matter: `OS_MONTHS`, `Overall Survival (Months)` and `overallSurvivalMonths` are one name.
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name.strip())
    spellings = {re.sub(r"[\W_]+", "_", each.lower().replace("'s", "")).strip("_") for each in (name, split)}
    return not spellings & {*_HARMLESS} and any(re.search(leak, spelling) for leak in _LEAKS for spelling in spellings)


def check_predictors(
    names: Collection[str], outcomes: Sequence[str | None] = (), *, where: str = "clinical", known: Collection[str] = ()
) -> None:
    """Refuse predictors that leak the outcome or are measured after treatment.

    Args:
        names: Names of the predictors.
        outcomes: Names of the columns that hold label, time and event.
        where: The config key of the predictors, for the message.
        known: Columns that the user declares as known before the outcome.

    Raises:
        ValueError: If there are such columns; the message names all of them.
    """
    taken = {_plain(name) for name in outcomes if name}
    leaks = [name for name in names if _plain(name) in taken or (is_leak(name) and name not in known)]
    if leaks:
        raise ValueError(
            f"{where}: {', '.join(leaks)} tell the outcome, are measured after treatment or are limits of assays; "
            "leave them out of the predictors, or name in datamodule.known_before those that are known beforehand"
        )


def telling(values: np.ndarray, names: Sequence[str], label: np.ndarray) -> dict[str, str]:
    """Find columns that separate a class almost perfectly, by their values or by being missing.

    Args:
        values: (N, K), NaN where missing.
        names: Names of the K columns.
        label: (N,) class, negative where unknown.

    Returns:
        What was found, by column.
    """
    found: dict[str, str] = {}
    for value in np.unique(label[label >= 0]):
        for name, column in zip(names, values.T, strict=True):
            for what, score in (("its values", column), ("being missing", np.isnan(column).astype(float))):
                area = _area(score, label == value, (label >= 0) & np.isfinite(score))
                if area >= PERFECT:
                    found.setdefault(name, f"{what} tell the class (area under the ROC curve {area:.3f})")
    return found


def check_telling(
    values: np.ndarray, names: Sequence[str], label: np.ndarray, months: np.ndarray, *, known: Collection[str] = ()
) -> None:
    """Refuse predictors whose values give the outcome away.

    Args:
        values: (N, K) of the training patients, NaN where missing.
        names: Names of the K columns.
        label: (N,) class, negative where unknown.
        months: (N,) months of follow-up, NaN where unknown.
        known: Columns that the user declares as known before the outcome.

    Raises:
        ValueError: If a column separates a class, or ranks patients by their follow-up time.
    """
    found = telling(values, names, label)
    for name, column in zip(names, values.T, strict=True):
        both = np.isfinite(column) & np.isfinite(months)
        enough = both.sum() >= _ENOUGH["patients"] and len(np.unique(column[both])) > both.sum() / 2
        if enough and abs(spearmanr(column[both], months[both]).statistic) > 0.999:
            found.setdefault(name, "it orders patients as the time of follow-up does")
    if told := "; ".join(f"{name}: {why}" for name, why in found.items() if name not in known):
        raise ValueError(
            f"clinical: {told}. Is it known before the outcome? If so, name it in datamodule.known_before; "
            "if not, leave it out of the predictors"
        )


def _area(score: np.ndarray, positive: np.ndarray, there: np.ndarray) -> float:
    """Area under the ROC curve in the better direction; 0 if there are too few patients."""
    sick, healthy = score[there & positive], score[there & ~positive]
    few = min(len(sick), len(healthy)) < _ENOUGH["of a class"]
    if few or len(sick) + len(healthy) < _ENOUGH["patients"] or not np.ptp(score[there]):
        return 0.0
    area = mannwhitneyu(sick, healthy, method="asymptotic").statistic / (len(sick) * len(healthy))
    return float(max(area, 1 - area))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
