"""The tables of the liver cohort: clinical columns in their units, and gene expression in FPKM.

Columns are findings of the causal model, scaled to the mean, spread and range of a hepatology clinic; columns without
a finding are nuisances. Each gene is log-normal around its own level; genes of the same pathway (five) are correlated.
"""

import numpy as np

from medzoo.datamodules.phantoms.liver.causal import SHARES, People

__all__ = ["GENES", "PATHWAYS", "clinical_rows", "expression", "missing_cells"]

_SHARES = {  # mean, standard deviation (of log10 for AFP), direction of cancer, range, decimals
    "afp_ng_ml": (1.3, 0.75, 1, (0.6, 60500.0), 1),
    "age_years": (61.0, 9.5, 1, (18.0, 95.0), 1),
    "platelets_g_l": (165.0, 52.0, -1, (12.0, 600.0), 0),
    "albumin_g_dl": (3.75, 0.5, -1, (1.5, 5.8), 2),
}
_ALWAYS = ("age_years", "viral_hepatitis", "sex")

_SYMBOLS = """\
proliferation MKI67 TOP2A CCNB1 BIRC5 AURKA CDK1 PCNA MCM2 PLK1 BUB1 CCNA2 FOXM1
immune CD3D CD8A GZMB PRF1 CXCL9 CXCL10 STAT1 HLA-DRA PDCD1 LAG3 CD19 IFNG
wnt GLUL AXIN2 LGR5 NKD1 TBX3 ZNRF3 RNF43 SP5 NOTUM CTNNB1 TCF7 MYC
hepatocyte ALB APOA1 APOB TTR SERPINA1 CYP3A4 CYP2E1 TAT FGB F9 HNF4A CPS1
stroma COL1A1 COL1A2 COL3A1 ACTA2 VIM FN1 TGFB1 PDGFRB LUM DCN POSTN THY1
none GAPDH ACTB TUBB RPLP0 HPRT1 B2M TBP PPIA UBC YWHAZ SDHA HMBS GUSB PGK1 TFRC EEF1A1
"""
PATHWAYS = {name: tuple(genes) for name, *genes in (line.split() for line in _SYMBOLS.splitlines())}
GENES = tuple(gene for genes in PATHWAYS.values() for gene in genes)


def clinical_rows(rng: np.random.Generator, people: People) -> list[dict[str, float | str]]:
    """Rows of n people, without missing cells."""
    n, viral = len(people.cancer), people.viral
    columns: dict[str, np.ndarray] = {}
    for name, x in zip(SHARES, people.columns.T, strict=True):
        mean, spread, direction, limits, decimals = _SHARES[name]
        values = mean + spread * direction * x
        columns[name] = np.clip(10**values if name == "afp_ng_ml" else values, *limits).round(decimals)
    columns["bmi_kg_m2"] = np.clip(np.where(viral, 25.5, 30.5) + rng.normal(0, 3.6, n), 15, 55).round(1)
    columns["bilirubin_mg_dl"] = np.clip(10 ** rng.normal(0.05, 0.25, n), 0.1, 30).round(2)
    columns["inr"] = np.clip(10 ** rng.normal(0.06, 0.05, n), 0.8, 6).round(2)
    columns["alt_u_l"] = np.clip(10 ** rng.normal(1.65, 0.25, n), 5, 2000).round()
    columns["creatinine_mg_dl"] = np.clip(10 ** rng.normal(-0.05, 0.1, n), 0.3, 10).round(2)
    columns["viral_hepatitis"] = viral.astype(int)
    columns["diabetes"] = (rng.uniform(size=n) < np.where(viral, 0.2, 0.55)).astype(int)
    columns["sex"] = np.where(rng.uniform(size=n) < 0.7, "M", "F")
    return [{name: column[row].item() for name, column in columns.items()} for row in range(n)]


def missing_cells(
    rng: np.random.Generator, rows: list[dict[str, float | str]], rate: float
) -> list[dict[str, float | str]]:
    """Remove cells at random given age: the share is `rate` on average, and twice as high at 75 years as at 55.

    Age, sex and the viral serology are never missing.
    """
    old = np.exp((np.array([float(row["age_years"]) for row in rows]) - 65) * np.log(2) / 20)
    share = np.minimum(rate * old / max(old.mean(), 1e-9), 1)
    return [
        {name: "" if name not in _ALWAYS and rng.uniform() < part else value for name, value in row.items()}
        for row, part in zip(rows, share, strict=True)
    ]


def expression(rng: np.random.Generator, finding: np.ndarray) -> np.ndarray:
    """FPKM (n, genes) in the order of `GENES`.

    log2(x + 1) = level of the gene + effect of the pathway + noise of the gene. The noise of the proliferation genes
    has mean 0 in each person, so that their mean is given by the finding.

    Args:
        rng: Draws pathways and noise.
        finding: (n,) finding of the proliferation pathway.
    """
    n = len(finding)
    level = np.random.default_rng(20260811).uniform(1.5, 8, size=len(GENES))  # the same in every cohort
    logs = level + rng.normal(0, 0.45, size=(n, len(GENES)))
    start = 0
    for name, genes in PATHWAYS.items():
        part = slice(start, start + len(genes))
        if name == "proliferation":
            logs[:, part] -= (logs[:, part] - level[part]).mean(1, keepdims=True)
            logs[:, part] += np.maximum(1.5 + 0.6 * finding, -1.0)[:, None]
        elif name != "none":
            logs[:, part] += 0.6 * rng.normal(size=(n, 1))
        start += len(genes)
    return np.maximum(2 ** np.maximum(logs, 0) - 1, 0).round(4)
