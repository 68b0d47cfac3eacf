"""Adjusted p-values against a published example and statsmodels, and against the definition of their level."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from sweep.analysis.multiplicity import benjamini_hochberg, holm

# Benjamini & Hochberg (1995), section 4: thrombolysis trials, 15 comparisons.
THROMBOLYSIS = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
THROMBOLYSIS += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]


def test_holm_multiplies_the_smallest_by_all_the_next_by_all_but_one_and_never_falls() -> None:
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])


def test_the_published_example_rejects_four_by_benjamini_hochberg_and_three_by_family() -> None:
    assert (benjamini_hochberg(THROMBOLYSIS) <= 0.05).sum() == 4
    assert (holm(THROMBOLYSIS) <= 0.05).sum() == 3


def test_both_agree_with_statsmodels() -> None:
    assert holm(THROMBOLYSIS) == pytest.approx(multipletests(THROMBOLYSIS, method="holm")[1])
    expected = multipletests(THROMBOLYSIS, method="fdr_bh")[1]
    assert benjamini_hochberg(THROMBOLYSIS) == pytest.approx(expected)


def test_a_question_without_an_answer_stays_without_and_does_not_count() -> None:
    p = np.array([0.02, np.nan, 0.03, np.nan])
    assert holm(p) == pytest.approx([0.04, np.nan, 0.04, np.nan], nan_ok=True)
    assert benjamini_hochberg(p) == pytest.approx([0.03, np.nan, 0.03, np.nan], nan_ok=True)
    for adjusted in (holm, benjamini_hochberg):
        assert np.isnan(adjusted([np.nan, np.nan])).all()
        assert adjusted([]).shape == (0,)
        series = pd.Series([0.5, None], dtype=float, index=[7, 3])
        assert adjusted(series) == pytest.approx([0.5, np.nan], nan_ok=True)


def test_one_p_value_is_its_own_adjustment_and_none_passes_1() -> None:
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_of_families_without_any_effect_holm_alarms_in_5_percent() -> None:
    rng = np.random.default_rng(0)
    alarms = np.mean([holm(rng.uniform(size=20)).min() <= 0.05 for _ in range(2000)])
    assert 0.035 <= alarms <= 0.065  # three binomial standard errors around 4.9 %
