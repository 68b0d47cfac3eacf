"""Do trials of a high rank return more? The contrast of trials above and below a threshold on a measure.

Associational, whatever its name: the measure is a result of training, and nobody has set it. The paper says so too
(Gulcehre et al. 2022, section 5, below eq. 3). It is printed twice: as in the paper's Table 1, and so that its interval
covers what it claims to.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import Sample
from sweep.analysis.table import Option, Table, pair
from sweep.analysis.thresholds.threshold_rows import FIRST, LAST, OPTIONS, threshold_frame, threshold_rows

QUANTILES: Final = (0.25, 0.5, 0.75, 0.95)
"""Of the paper's Table 1."""
_PAPER: Final = ("paper_tau", "paper_ate", "paper_half_width", "paper_p")
THRESHOLD_COLUMNS: Final = (*FIRST, "p_holm", *_PAPER, *LAST)


def threshold_ate(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    quantiles: Sequence[float] = QUANTILES,
    pooled: bool = False,
    confidence: float = 0.95,
    within: Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """E[outcome | measure > tau] - E[outcome | measure <= tau], a row per environment x space x type x quantile.

    ``tau`` is the quantile of the measure among the row's trials. Types are "combined" and each value of the
    hyperparameter ``by`` (None: activation, where there is one; or "none"). Columns: env, space, ``within``, type,
    quantile, then `THRESHOLD_COLUMNS`:

    - ``ate`` with bounds of a ``confidence`` interval and a two-sided ``ate_p``: ``draws`` times, configurations are
      drawn with replacement, all their seeds with them, and each draw has a threshold of its own; the interval is that
      of `side_contrast`. ``p_holm`` corrects for all rows of the table.
    - ``paper_ate`` ± ``paper_half_width``, with the one-sided ``paper_p`` of "greater than zero": trials taken as
      independent, Welch's standard error SE, half-width z(``confidence``) SE and p = 1 - Phi(ate / SE). Of Table 1's 24
      cells 21 agree with that to the digits printed, and 11 with z(0.975): its "95 %" intervals are those of 90 %.
      ``paper_tau`` is ``tau``, or with ``pooled`` the quantile over all environments of the space.

    Further ``options`` are those of `threshold_rows`: by, min_side, draws, seed, allow_pruned, min_configurations.
    A row is refused, with the numbers, where fewer than ``min_side`` configurations lie on a side, where the outcome
    varies on neither, and as `samples` refuses.

    Source: Gulcehre et al. (2022), eq. 3 and 5, Table 1. Raises `AnalysisError` for a missing column, a quantile
    outside (0, 1), min_side < 2, draws < 100, or a confidence outside (0, 1).
    """
    found = threshold_rows(
        trials, metrics, measure, outcome, quantiles, within=within, confidence=confidence, **options
    )
    together: dict[tuple[str, ...], list[Floats]] = {}
    for sample, _ in found:
        together.setdefault(_elsewhere(sample), []).append(sample.values(measure))
    for sample, rows in found:
        everywhere = np.concatenate(together[_elsewhere(sample)])
        x, y = sample.values(measure), sample.values(outcome)
        for row in rows:
            if np.isfinite(row["ate"]):
                tau = float(np.quantile(everywhere, row["quantile"])) if pooled else row["tau"]
                row |= _as_printed(x, y, tau, confidence)
    frame = threshold_frame([row for _, rows in found for row in rows], within, THRESHOLD_COLUMNS)
    frame["p_holm"] = holm(frame["ate_p"])
    return frame


def _as_printed(x: Floats, y: Floats, tau: float, confidence: float) -> dict[str, float]:
    above, below = y[x > tau], y[x <= tau]
    if min(len(above), len(below)) < 2:
        return {"paper_tau": tau}
    difference = float(above.mean() - below.mean())
    error = float(np.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)))
    return {
        "paper_tau": tau,
        "paper_ate": difference,
        # z(0.95), not z(0.975): what Table 1's numbers say, not its caption.
        "paper_half_width": float(stats.norm.ppf(confidence)) * error,
        "paper_p": float(stats.norm.sf(difference / error)) if error > 0 else np.nan,
    }


def _elsewhere(sample: Sample) -> tuple[str, ...]:
    return tuple(str(value) for name, value in sample.key.items() if name != "env")


TABLE: Final = Table(
    "threshold-ate",
    "the outcome above a quantile of the measure less that below, as the paper prints it and with honest intervals",
    threshold_ate,
    "last",
    pair,
    {
        **OPTIONS,
        "pooled": Option("flag", "The paper's thresholds over all environments of a space, not one by one."),
    },
)
