"""The doubly robust difference: against statsmodels, and right where either of its models is."""

import numpy as np
import pytest
from statsmodels.discrete.discrete_model import Logit
from statsmodels.regression.linear_model import OLS
from statsmodels.treatment.treatment_effects import TreatmentEffect
from structural_models import MEASURE, OUTCOME, observed_confounding

from sweep.analysis.confounding.aipw import doubly_robust

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def _confounded(rng: np.random.Generator, trials: int, strength: float = 0.8) -> Arrays:
    z = rng.normal(size=(trials, 2))
    above = rng.random(trials) < 1 / (1 + np.exp(-strength * z[:, 0]))
    y = 1.0 * above + z @ [1.0, 0.5] + rng.normal(size=trials)
    return y, above, z


def test_without_a_penalty_it_is_the_aipw_of_statsmodels() -> None:
    y, above, z = _confounded(np.random.default_rng(0), 400)
    design = np.column_stack([np.ones(400), z])
    effect = TreatmentEffect(
        OLS(y, design), above.astype(int), results_select=Logit(above, design).fit(disp=0)
    )
    found = doubly_robust(
        y, above, z, np.arange(400), draws=2000, confidence=0.95, rng=np.random.default_rng(1), ridge=0.0
    )
    assert found.kept.all()
    expected = effect.aipw(return_results=True)
    assert found.estimate == pytest.approx(expected.effect[0], rel=1e-6)
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(1.96 * expected.results_gmm.bse[0], rel=0.12)
    assert doubly_robust(
        y, above, z, np.arange(400), draws=200, confidence=0.95, rng=np.random.default_rng(1)
    ).estimate == pytest.approx(found.estimate, abs=0.01)


def test_it_takes_away_what_the_columns_confound() -> None:
    y, above, z = _confounded(np.random.default_rng(2), 2000)
    naive = y[above].mean() - y[~above].mean()
    found = doubly_robust(
        y, above, z, np.arange(2000), draws=300, confidence=0.95, rng=np.random.default_rng(3)
    )
    assert naive > 1.4
    assert found.interval.low < 1.0 < found.interval.high < naive


def test_a_bent_outcome_is_mended_by_the_propensities() -> None:
    rng = np.random.default_rng(4)
    z = rng.exponential(size=(4000, 1))
    above = rng.random(4000) < 1 / (1 + np.exp(1.5 - 1.2 * z[:, 0]))
    y = 1.0 * above + z[:, 0] ** 2 + 0.3 * rng.normal(size=4000)
    found = doubly_robust(
        y, above, z, np.arange(4000), draws=200, confidence=0.95, rng=np.random.default_rng(5)
    )
    assert found.interval.low < 1.0 < found.interval.high
    assert OLS(y, np.column_stack([above, np.ones(4000), z])).fit().params[0] < 0.7


def test_a_hyperparameter_that_decides_the_side_is_refused() -> None:
    rng = np.random.default_rng(6)
    tanh = np.repeat([0.0, 1.0], 40)
    found = doubly_robust(
        rng.normal(size=80), tanh > 0, tanh[:, None], np.arange(80), draws=200, confidence=0.95, rng=rng
    )
    assert found.refusal is not None
    assert (
        "no overlap: the hyperparameters all but decide on which side of the median 100% of the trials"
        in found.refusal
    )
    assert np.isnan(found.estimate)


def test_trials_without_a_counterpart_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    decided = np.repeat([0.0, 1.0], [60, 20])
    above = np.where(decided == 1, True, rng.random(80) < 0.4)
    found = doubly_robust(
        rng.normal(size=80), above, decided[:, None], np.arange(80), draws=200, confidence=0.95, rng=rng
    )
    assert found.refusal is None
    assert found.outside == pytest.approx(0.25)
    assert found.kept.sum() == 60


def test_too_few_configurations_on_a_side_are_refused_with_their_number() -> None:
    rng = np.random.default_rng(8)
    found = doubly_robust(
        rng.normal(size=40),
        np.arange(40) % 2 > 0,
        rng.normal(size=(40, 3)),
        np.arange(40) % 10,
        draws=200,
        confidence=0.95,
        rng=rng,
    )
    assert found.refusal == "refused: 5 configurations with overlap are above the median, for 4 coefficients"


def test_seeds_of_a_configuration_do_not_count_as_trials() -> None:
    trials, metrics, truth = observed_confounding(
        np.random.default_rng(9), 80, 4, learning_rate=(0.5, 1.0), configuration=(1.0, 1.0)
    )
    x, y = metrics[MEASURE].to_numpy(), metrics[OUTCOME].to_numpy()
    columns = np.log(trials[["learning_rate"]].to_numpy())
    cluster = np.unique(trials["weight_decay"], return_inverse=True)[1]
    widths = []
    for codes in (cluster, np.arange(len(x))):
        found = doubly_robust(
            y, x > np.median(x), columns, codes, draws=500, confidence=0.95, rng=np.random.default_rng(0)
        )
        widths.append(found.interval.high - found.interval.low)
    assert widths[0] > 1.3 * widths[1]
    assert truth.above_adjusted < truth.above
