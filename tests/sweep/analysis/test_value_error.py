from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from sweep.analysis import AnalysisError, correlation, value_error, value_error_trials

Table = Callable[..., pd.DataFrame]
RATES = list(np.geomspace(1e-5, 1e-2, 20))


@pytest.fixture
def sweep(trials_table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four games: the error falls with the rank in two, rises in one and has nothing to do with it in the last."""
    rng = np.random.default_rng(0)
    trials, metrics = [], []
    for slope, env in zip((-2, -3, 2, 0), ("Asterix", "Breakout", "Gravitar", "IceHockey"), strict=True):
        mine = trials_table(RATES, 2, env=f"atari/{env}", prefix=env[0])
        rank = rng.normal(0, 1, len(mine))
        gap = np.exp(slope * rank + rng.normal(0, 0.5, len(mine)))
        trials.append(mine)
        metrics.append(
            pd.DataFrame(
                {
                    "trial_id": mine["trial_id"],
                    "step": 1000,
                    "srank": 40 + 10 * rank,
                    "value_gap": gap,
                    "value_bias": np.nan,
                    "value_error": gap if env == "Gravitar" else np.nan,
                }
            )
        )
    return pd.concat(trials), pd.concat(metrics)


def test_anticorrelation_is_told_by_holms_p_over_the_games(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = value_error(*sweep)
    gaps = table[table["outcome"] == "value_gap"].set_index("env")
    assert gaps["association"].to_dict() == {
        "atari/Asterix": "anti-correlated",
        "atari/Breakout": "anti-correlated",
        "atari/Gravitar": "correlated",
        "atari/IceHockey": "not shown",
    }
    assert gaps["spearman_p_holm"].to_numpy() == pytest.approx(
        multipletests(gaps["spearman_p"].to_numpy(), method="holm")[1]
    )


def test_numbers_are_those_of_correlation(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = value_error(*sweep, values=["value_gap"])
    expected = correlation(*sweep, measure="srank", outcome="value_gap")
    pd.testing.assert_frame_equal(table[expected.columns], expected)


def test_an_error_that_was_not_measured_has_no_rows(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = value_error(*sweep)
    assert "value_bias" not in set(table["outcome"])
    assert table.loc[table["outcome"] == "value_error", "env"].tolist() == ["atari/Gravitar"]
    trials, metrics = sweep
    nothing = value_error(trials, metrics.assign(value_gap=np.nan, value_error=np.nan))
    assert len(nothing) == 4
    assert nothing["note"].str.startswith("refused: 0 configurations").all()
    assert nothing["association"].isna().all()


def test_tables_without_some_of_the_errors_are_looked_at_for_the_others(
    sweep: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = sweep
    table = value_error(trials, metrics.drop(columns=["value_error", "value_bias"]))
    assert set(table["outcome"]) == {"value_gap"}
    with pytest.raises(AnalysisError, match="no error of values to look at"):
        value_error(trials, metrics[["trial_id", "step", "srank"]])


def test_points_are_the_trials_that_count(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    trials = trials.assign(status=["diverged"] + ["finished"] * (len(trials) - 1))
    points = value_error_trials(trials, metrics, values=["value_gap"])
    assert points.columns.tolist() == [
        *("env", "space", "trial_id", "seed", "learning_rate", "srank", "outcome", "value")
    ]
    assert len(points) == len(trials) - 1
    one = metrics[metrics["trial_id"] == points["trial_id"].iloc[5]].iloc[0]
    assert points.iloc[5][["srank", "value"]].tolist() == one[["srank", "value_gap"]].tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"values": []}, "name a column of the metrics, such as value_error"),
        ({"values": ["error"]}, "no column 'error'"),
        ({"draws": 3}, "at least 100"),
    ],
)
def test_wrong_questions_name_what_is_allowed(
    sweep: tuple[pd.DataFrame, pd.DataFrame], options: dict[str, object], says: str
) -> None:
    with pytest.raises(AnalysisError, match=says):
        value_error(*sweep, **options)  # type: ignore[arg-type]
