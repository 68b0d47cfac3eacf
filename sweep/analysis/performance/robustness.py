"""What share of its return an agent keeps as its observations are disturbed more and more.

Gulcehre et al. (2022), Section 11: ρ(p) = score[d(p)] / score[d(0)] (eq. 4) and the area under it (Figures 21, 22), by
which they compare DQN with behaviour cloning. A score is an average there too, so ρ is a ratio of mean returns and not
a mean of ratios, which a run of a small undisturbed return would rule.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError, require_columns
from sweep.analysis.multiplicity import holm
from sweep.analysis.performance.disturbed import KINDS, Curve, Estimate, Settings, disturbed
from sweep.analysis.performance.scores import kind_columns, other_differences
from sweep.analysis.samples import TOGETHER, check_confidence
from sweep.analysis.table import Option, Table

if TYPE_CHECKING:
    from sweep.store import SweepStore

AXES: Final = ("amount", "level")
KEPT, AREA, DIFFERENCE = "return kept", "area", "difference of areas"
_NUMBERS: Final = ("amount", "return_mean", "value", "value_low", "value_high", "value_p", "p_holm")
ROBUSTNESS_COLUMNS: Final = (
    *("group", "against", "perturbation", "statistic", *COUNT_COLUMNS, "n_environments", "unit", *_NUMBERS),
    *("axis", "offset", "kind", "confidence", "note"),
)


def robustness(
    trials: pd.DataFrame,
    spectra: pd.DataFrame,
    *,
    settings: Settings | None = None,
    by: Sequence[str] | None = None,
    shift: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    noise: Sequence[float] | None = None,
    offset: float | None = None,
    axis: str = "amount",
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """ρ at each amount, the area under it, and the differences of areas, per environment, space and kind of run.

    ``spectra`` has the vectors ``robustness_<kind>_returns`` of the store: mean returns, undisturbed first. The
    amounts and what is added to every return come from the protocol (``settings``, as `protocol_of` reads them) unless
    ``shift``, ``scale``, ``noise`` or ``offset`` are given; without either a kind's amounts are asked for.

    Columns: env, space, ``by``, then `ROBUSTNESS_COLUMNS`. ``statistic`` says what ``value`` is: "return kept", ρ at
    ``amount``; "area", by trapezoids over the amounts from 0, in their unit, or over 0, 1, 2, ... with
    ``axis="level"``; "difference of areas", ``group`` less ``against``, with a two-sided ``value_p`` and ``p_holm``
    over the pairs and disturbances of an environment and space. Rows of env "all" are plain means over environments.

    Standard errors are those of a ratio of means (linearised) over configurations, or over seeds where a kind is one
    configuration; Student's t with units less one, Satterthwaite's over environments. A kind is refused where an
    environment has fewer than 2 units, and where its undisturbed return, with the offset, is not above 0 by two of
    its standard errors: a share of it means nothing.

    Raises `AnalysisError` for no vectors, unknown or wrong amounts, another ``axis``, a confidence outside (0, 1).
    """
    check_confidence(confidence)
    if axis not in AXES:
        raise AnalysisError(f"axis={axis}: must be amount, or level, which counts the amounts 0, 1, 2, ...")
    require_columns(spectra, ("trial_id", "step", "name", "values"), "spectra")
    require_columns(trials, by or (), "trials")
    factors = kind_columns(trials, by)
    given = {"shift": shift, "scale": scale, "noise": noise}
    curves = list(disturbed(trials, spectra, settings or {}, given, offset, by, allow_pruned))
    if not curves:
        raise AnalysisError(
            "no trial has returns under disturbances (robustness_shift_returns and the like): give the study's "
            "protocol probes: {robustness: {shift: [1, 2, 4]}}, and run it."
        )
    rows = [row for curve in curves for row in _rows(curve, axis, confidence)]
    rows += _means(curves, axis, confidence)
    rows += _differences(curves, factors, axis, confidence)
    columns = list(dict.fromkeys(("env", "space", *factors, *ROBUSTNESS_COLUMNS)))
    frame = pd.DataFrame(rows, columns=columns).assign(axis=axis, confidence=confidence)
    frame["p_holm"] = np.nan
    for _, family in frame[frame["statistic"] == DIFFERENCE].groupby(["env", "space"]):
        frame.loc[family.index, "p_holm"] = holm(family["value_p"].to_numpy(float))
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})


def protocol_of(sweep: "SweepStore", options: Mapping[str, Any]) -> dict[str, Settings]:
    """``settings`` of a `SweepStore`'s trials, from its plans."""
    found: dict[str, Mapping[str, Any]] = {}
    for plan in sweep.plans():
        for pack in plan["packs"].values():
            probes = pack.get("protocol", {}).get("probes") or {}
            if probes.get("robustness"):
                found |= dict.fromkeys(pack["trials"], probes["robustness"])
    return {"settings": found}


def _rows(curve: Curve, axis: str, confidence: float) -> Iterator[dict[str, object]]:
    """A row per amount and one of the area, or one with the refusal."""
    about = curve.about()
    if curve.refusal is not None:
        yield about
        return
    means = curve.returns.mean(axis=0)
    for level, amount in enumerate(curve.amounts):
        # ρ(0) is 1 by definition, without error.
        kept = {"value": 1.0} if level == 0 else curve.kept(level).columns(confidence)
        yield about | {"statistic": KEPT, "amount": amount, "return_mean": means[level]} | kept
    yield about | {"statistic": AREA} | curve.area(axis).columns(confidence)


def _families(curves: Sequence[Curve]) -> dict[tuple[object, ...], list[Curve]]:
    """Curves that can be compared or averaged: one space, one disturbance and the same amounts."""
    found: dict[tuple[object, ...], list[Curve]] = {}
    for curve in curves:
        found.setdefault((curve.sample.key["space"], curve.perturbation, curve.amounts), []).append(curve)
    return found


def _means(curves: Sequence[Curve], axis: str, confidence: float) -> Iterator[dict[str, object]]:
    for family in _families(curves).values():
        for label in dict.fromkeys(curve.label for curve in family):
            alike = [curve for curve in family if curve.label == label]
            sound = [curve for curve in alike if curve.refusal is None]
            if len(sound) < 2:
                continue
            left = [str(curve.sample.key["env"]) for curve in alike if curve.refusal is not None]
            about = _together(sound, [f"without {', '.join(left)}, which is refused"] if left else [])
            share = 1 / len(sound)
            for level, amount in enumerate(sound[0].amounts):
                kept = Estimate.combined([(share, curve.kept(level)) for curve in sound])
                columns = {"value": 1.0} if level == 0 else kept.columns(confidence)
                yield about | {"statistic": KEPT, "amount": amount} | columns
            area = Estimate.combined([(share, curve.area(axis)) for curve in sound])
            yield about | {"statistic": AREA} | area.columns(confidence)


def _differences(
    curves: Sequence[Curve], factors: Sequence[str], axis: str, confidence: float
) -> Iterator[dict[str, object]]:
    for family in _families(curves).values():
        sound = [curve for curve in family if curve.refusal is None]
        by_label = {
            label: {str(curve.sample.key["env"]): curve for curve in sound if curve.label == label}
            for label in dict.fromkeys(curve.label for curve in sound)
        }
        for first, second in combinations(by_label, 2):
            mine, theirs = by_label[first], by_label[second]
            common = [env for env in mine if env in theirs]
            for envs in [*([env] for env in common), *([common] if len(common) > 1 else [])]:
                share = 1 / len(envs)
                difference = Estimate.combined(
                    [(share, mine[env].area(axis)) for env in envs]
                    + [(-share, theirs[env].area(axis)) for env in envs]
                )
                others = [other_differences(mine[env].sample, theirs[env].sample, factors) for env in envs]
                too = list(dict.fromkeys(field for fields in others for field in fields))
                notes = [f"the two differ in {', '.join(too)} too"] if too else []
                about = _together([mine[env] for env in envs], notes) | {
                    "against": second,
                    "statistic": DIFFERENCE,
                    "kind": "associational" if too else "randomised",
                }
                yield about | difference.columns(confidence, test=True)


def _together(curves: Sequence[Curve], notes: Sequence[str]) -> dict[str, object]:
    rows = [curve.about() for curve in curves]
    remarks = [*notes, *(str(row["note"]) for row in rows if row["note"])]
    offsets = {curve.offset for curve in curves}
    return rows[0] | {
        **{name: sum(int(str(row[name])) for row in rows) for name in COUNT_COLUMNS},
        "env": TOGETHER if len(curves) > 1 else rows[0]["env"],
        "n_environments": len(curves),
        "offset": offsets.pop() if len(offsets) == 1 else np.nan,
        "note": "; ".join(dict.fromkeys(remarks)) or None,
    }


def _needed(options: Mapping[str, Any]) -> list[str]:
    return [f"robustness_{kind}_returns" for kind in KINDS]


TABLE: Final = Table(
    "robustness",
    "what share of the return is kept under disturbed observations, and the area under it",
    robustness,
    "spectra",
    _needed,
    {
        "by": Option("names", "Hyperparameters that make the groups [default: those of few levels]."),
        "shift": Option("numbers", "Amounts of the shifts in pixels [default: the protocol's]."),
        "scale": Option("numbers", "Amounts of the scaling as shares [default: the protocol's]."),
        "noise": Option("numbers", "Standard deviations of the noise [default: the protocol's]."),
        "offset": Option("number", "Added to every return [default: the protocol's]."),
        "axis": Option("text", "Of the area: amount, or level, which counts 0, 1, 2 [default: amount]."),
        "confidence": Option("number", "Of the intervals [default: 0.95]."),
        "allow_pruned": Option("flag", "Let trials in that ran under early stopping."),
    },
    also=protocol_of,
)
