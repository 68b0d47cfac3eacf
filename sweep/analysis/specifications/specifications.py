"""The forks of a claim that a measure goes with an outcome: every way in which it might have been estimated.

A specification is a definition of the measure (with layer and δ), an outcome, a window, a line or a split at a
quantile, and what is adjusted for. Each gives a standardised coefficient with an error by configuration, and
the same for outcomes that were permuted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse, stats

from sweep.analysis.association import Floats
from sweep.analysis.confounding.clustered_slope import independent
from sweep.analysis.confounding.covariates import covariates
from sweep.analysis.confounding.environments import standardised
from sweep.analysis.frames import content
from sweep.analysis.interventions.least_squares import LeastSquares
from sweep.analysis.specifications.rank_definitions import Definition

NOTHING, ENVIRONMENT, EVERYTHING = "none", "env", "all"
LINE: Final = np.nan
"""The threshold of a specification that does not split."""
REASONS: Final = ("not measured", "constant", "collinear", "no error", "duplicate", "no common scale")
"""Why a specification is not run."""
_RIDGE: Final = 1e-9


class Specification(NamedTuple):
    """One way to put the question."""

    definition: Definition
    outcome: str
    window: float
    threshold: float
    adjust: str


@dataclass(frozen=True)
class Columns:
    """Trials of one curve, ``[T]`` rows, and what specifications take of them."""

    frame: pd.DataFrame
    """The trials, with ``configuration`` and ``env``."""
    measures: Mapping[tuple[Definition, float], Floats]
    """By definition and window, ``[T]``."""
    outcomes: Mapping[tuple[str, float], Floats]

    @property
    def cluster(self) -> npt.NDArray[np.int64]:
        """The number of each trial's configuration, from 0."""
        return np.unique(self.frame["configuration"].to_numpy(), return_inverse=True)[1].astype(np.int64)

    @property
    def environments(self) -> int:
        """How many there are."""
        return int(self.frame["env"].nunique())


@dataclass
class Fitted:
    """Specifications that were run, and why others were not."""

    specifications: list[Specification] = field(default_factory=list)
    estimate: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    freedom: list[float] = field(default_factory=list)
    permuted: list[Floats] = field(default_factory=list)
    """t of each permuted outcome, ``[P]``."""
    skipped: "Counter[str]" = field(default_factory=Counter)


def fit(columns: Columns, asked: Sequence[Specification], orders: npt.NDArray[np.intp]) -> Fitted:
    """Estimates of ``asked``, and of the outcomes in other ``orders`` ``[P, T]``.

    The estimate is in standard deviations of the outcome per standard deviation of the measure (of a split, of which
    side a trial is on); of each environment where the environment is adjusted for. Errors are CRV2 by configuration
    (`least_squares`). What is permuted is the outcome less what the adjustment explains of it (Freedman & Lane 1983,
    Journal of Business & Economic Statistics 1:292), so that adjusters may matter under the null.

    Skipped are specifications of which a part was not measured ("not measured"), does not vary ("constant"), is
    explained whole by what is adjusted for ("collinear"), or whose columns are those of another ("duplicate"); and
    unadjusted pools of several environments whose outcome has no common scale ("no common scale").
    """
    found = Fitted()
    adjusters = _adjusters(columns, {specification.adjust for specification in asked})
    seen: set[tuple[bytes, bytes, bytes]] = set()
    predictors: dict[tuple[object, ...], tuple[Floats | None, str]] = {}
    for (outcome, window, adjust), some in _by_outcome(asked):
        y = columns.outcomes.get((outcome, window))
        others = adjusters.get(adjust)
        if y is None or others is None:
            found.skipped["not measured"] += len(some)
            continue
        if adjust == NOTHING and columns.environments > 1 and not outcome.startswith("return_normalized"):
            found.skipped["no common scale"] += len(some)
            continue
        apart = columns.frame["env"] if adjust != NOTHING else None
        y = _scaled(y, apart)
        if y is None:
            found.skipped["constant"] += len(some)
            continue
        basis = independent(others)
        residual = y - basis @ (basis.T @ y)
        shuffled = np.ascontiguousarray(residual[orders].T)
        with_basis = basis.T @ shuffled
        # The projection of one vector in general position tells the spaces apart that adjusters span.
        span = _print(basis @ (basis.T @ np.sin(np.arange(len(y)))))
        for specification in some:
            told = (specification.definition, window, specification.threshold, apart is None)
            if told not in predictors:
                predictors[told] = _predictor(columns, specification, apart)
            x, why = predictors[told]
            if x is None:
                found.skipped[why] += 1
                continue
            key = (_print(x), _print(y), span)
            if key in seen:
                found.skipped["duplicate"] += 1
                continue
            seen.add(key)
            left = x - basis @ (basis.T @ x)
            if not left @ left > _RIDGE * (x @ x):
                found.skipped["collinear"] += 1
                continue
            _estimate(found, specification, x, y, basis, shuffled, with_basis, columns.cluster)
    return found


def permutations(columns: Columns, count: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], int]:
    """``count`` orders of the trials ``[P, T]`` in which whole configurations change places, and how many can.

    Their trials are matched by environment and seed; only configurations with equally many trials in each environment
    are exchanged.
    """
    frame = columns.frame.assign(cluster=columns.cluster, place=np.arange(len(columns.frame)))
    sort = ["cluster", "env", *(["seed"] if "seed" in frame.columns else [])]
    frame = frame.sort_values(sort, kind="stable")
    kinds: dict[tuple[str, ...], list[npt.NDArray[np.intp]]] = {}
    for _, rows in frame.groupby("cluster", sort=True):
        kinds.setdefault(tuple(rows["env"].map(content)), []).append(rows["place"].to_numpy())
    orders = np.tile(np.arange(len(frame)), (count, 1))
    free = 0
    for blocks in kinds.values():
        if len(blocks) < 2:
            continue
        free += len(blocks)
        if count == 0:
            continue
        places = np.stack(blocks)
        shuffled = np.argsort(rng.random((count, len(blocks))), axis=1)
        orders[:, places.ravel()] = places[shuffled].reshape(count, -1)
    return orders, free


def _by_outcome(
    asked: Sequence[Specification],
) -> Iterator[tuple[tuple[str, float, str], list[Specification]]]:
    groups: dict[tuple[str, float, str], list[Specification]] = {}
    for one in asked:
        groups.setdefault((one.outcome, one.window, one.adjust), []).append(one)
    yield from groups.items()


def _adjusters(columns: Columns, names: set[str]) -> dict[str, Floats]:
    frame = columns.frame
    constant = np.ones((len(frame), 1))
    codes = np.unique(frame["env"].map(content).to_numpy(str), return_inverse=True)[1]
    environments = np.hstack([constant, np.eye(codes.max() + 1)[codes]])
    found = {NOTHING: constant, ENVIRONMENT: environments}
    if names - set(found):
        of_trials = covariates(frame)
        found[EVERYTHING] = np.hstack([environments, of_trials.main()])
        found |= {name: np.hstack([environments, block]) for name, block in of_trials.blocks.items()}
    return {name: matrix for name, matrix in found.items() if name in names}


def _predictor(
    columns: Columns, specification: Specification, apart: pd.Series | None
) -> tuple[Floats | None, str]:
    values = columns.measures.get((specification.definition, specification.window))
    if values is None:
        return None, "not measured"
    if not np.isnan(specification.threshold):
        values = _split(values, specification.threshold, apart)
    scaled = _scaled(values, apart)
    return scaled, "constant"


def _split(values: Floats, quantile: float, apart: pd.Series | None) -> Floats:
    """1 above the quantile (of the trial's environment), 0 at it and below."""
    if apart is None:
        return np.asarray(values > np.quantile(values, quantile), dtype=np.float64)
    series = pd.Series(values)
    limits = series.groupby(apart.to_numpy()).transform(lambda group: np.quantile(group, quantile))
    return np.asarray(series > limits, dtype=np.float64)


def _scaled(values: Floats, apart: pd.Series | None) -> Floats | None:
    """In standard deviations from the mean (of its environment); None where it varies in none."""
    if apart is not None:
        # An environment in which it does not vary has nothing to say.
        scaled = np.nan_to_num(standardised(values, apart))
        return scaled if scaled.any() else None
    spread = values.std(ddof=1)
    return np.asarray((values - values.mean()) / spread) if spread > _RIDGE * abs(values).max() else None


def _estimate(
    found: Fitted,
    specification: Specification,
    x: Floats,
    y: Floats,
    basis: Floats,
    shuffled: Floats,
    with_basis: Floats,
    cluster: npt.NDArray[np.int64],
) -> None:
    model = LeastSquares(np.column_stack([x, basis]), cluster)
    first = np.zeros(model.x.shape[1])
    first[0] = 1.0
    contrast = model.contrast(first)
    variance = float(model.variance(contrast, y))
    if not variance > _RIDGE**2 or not contrast.freedom > 0:
        found.skipped["no error"] += 1
        return
    found.specifications.append(specification)
    found.estimate.append(float(contrast.weights @ y))
    found.error.append(float(np.sqrt(variance)))
    found.freedom.append(contrast.freedom)
    # As `LeastSquares.variance`, of all permuted outcomes at once.
    coefficients = model.bread @ np.vstack([x @ shuffled, with_basis])
    adjusted = sparse.csr_array(
        (contrast.adjusted, (cluster, np.arange(len(cluster)))), shape=(model.clusters, len(cluster))
    )
    pieces = np.asarray(adjusted @ shuffled - (adjusted @ model.x) @ coefficients)
    spread = np.sqrt((pieces**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found.permuted.append(np.where(spread > _RIDGE, coefficients[0] / spread, 0.0))


def _print(values: Floats) -> bytes:
    return np.round(values, 8).tobytes()


def z_scores(t: Floats, freedom: Floats) -> Floats:
    """Normal scores of the same two-sided p, signed: of ``t`` ``[S, ...]`` with ``freedom`` ``[S]``."""
    wide = freedom.reshape(-1, *[1] * (t.ndim - 1))
    tail = np.maximum(stats.t.sf(np.abs(t), wide), 1e-300)
    return np.asarray(np.sign(t) * stats.norm.isf(tail))
