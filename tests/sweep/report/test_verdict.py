import numpy as np
import pandas as pd
import pytest

from sweep.analysis import correlation_contrast
from sweep.report.grouping import grouped
from sweep.report.tables import summary_table
from sweep.report.verdict import verdict
from sweep.report.words import interval_text, p_text, signed


def row(
    space: str, value: float, low: float, high: float, env: str = "e", note: str | None = None
) -> dict[str, object]:
    return {
        "env": env,
        "space": space,
        "measure": "srank",
        "outcome": "return_mean",
        "n_trials": 40,
        "n_configurations": 40,
        "spearman": value,
        "spearman_low": low,
        "spearman_high": high,
        "confidence": 0.95,
        "note": note,
    }


def told(
    *rows: dict[str, object], statuses: tuple[str, ...] = ("finished",)
) -> tuple[str, list[str], list[str]]:
    table = pd.DataFrame(list(rows))
    found = verdict(table, correlation_contrast(table), pd.DataFrame({"status": list(statuses)}))
    first = found.findings[0]
    return first.headline, list(first.evidence), list(found.limits)


def test_an_association_that_goes_away_in_the_broad_space() -> None:
    headline, evidence, _ = told(row("narrow", 0.8, 0.6, 0.9), row("broad", 0.05, -0.1, 0.2))
    assert headline == (
        "On e, higher effective rank goes with higher return in the narrow space; no association of "
        "effective rank with return can be told from zero in the broad space. "
        "The link is weaker in broad than in narrow."
    )
    broad = "broad: Spearman 0.05, 95 % interval \u22120.10 to 0.20; 40 trials of 40 configurations"
    assert evidence[1] == broad


def test_one_significant_and_one_not_is_no_difference() -> None:
    headline, evidence, _ = told(row("narrow", 0.5, 0.05, 0.8), row("broad", 0.2, -0.1, 0.4))
    assert headline.endswith("Whether narrow and broad differ cannot be told.")
    assert evidence[-1].startswith("difference, narrow minus broad: 0.30, interval \u2212")


def test_a_reversal() -> None:
    headline, _, _ = told(row("narrow", 0.7, 0.5, 0.8), row("broad", -0.4, -0.5, -0.2))
    assert (
        "goes with higher return in the narrow space; higher effective rank goes with lower return"
        in headline
    )
    assert headline.endswith("Narrow and broad differ.")


def test_the_same_direction_is_said_once() -> None:
    headline, _, limits = told(row("narrow", 0.7, 0.5, 0.8), row("broad", 0.6, 0.5, 0.7))
    assert headline == (
        "On e, higher effective rank goes with higher return in the narrow and broad spaces. "
        "Whether narrow and broad differ cannot be told."
    )
    assert "The 3 intervals are not corrected for their number." in limits


def test_refused_rows_give_their_reason_and_nothing_else() -> None:
    refused = row("narrow", np.nan, np.nan, np.nan, note="refused: 3 configurations, at least 5 are needed")
    headline, evidence, limits = told(refused, statuses=("finished", "finished", "running"))
    assert headline.startswith("Too little to judge effective rank against return: 2 of 3 trials finished")
    assert evidence == []
    assert limits == [
        "Provisional: 2 of 3 trials have ended.",
        "No correlation for narrow on e: 3 configurations, at least 5 are needed.",
    ]


def test_one_space_says_nothing_of_a_difference() -> None:
    headline, evidence, _ = told(row("grid", -0.5, -0.7, -0.1))
    assert headline == "On e, higher effective rank goes with lower return in the grid space."
    assert len(evidence) == 1


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.123, 2, "\u22120.12"),
        (-0.002, 2, "\u22120.002"),
        (-1e-9, 2, "0.0000"),
        (0.0, 2, "0.00"),
        (3.0, 0, "3"),
    ],
)
def test_numbers_have_true_minus_signs_and_do_not_round_to_zero(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text


def test_an_absent_interval_is_a_dash() -> None:
    assert interval_text(np.nan, np.nan, np.nan) == "\u2013"
    assert [p_text(p) for p in (np.nan, 0.0, 0.0123, 0.5)] == ["\u2013", "< 0.001", "0.012", "0.50"]


def test_many_learning_rates_are_shown_in_ranges_in_order() -> None:
    rates = np.geomspace(1e-5, 1e-1, 100)
    trials = pd.DataFrame({"learning_rate": np.random.default_rng(0).permutation(rates)})
    words, series = grouped(trials, "learning_rate")
    assert 2 <= len(series) <= 8
    assert set(words) == {entry.label for entry in series}
    for entry in series:
        low, high = (float(part) for part in entry.label.split(" to "))
        here = trials.loc[words == entry.label, "learning_rate"]
        assert low * 0.99 <= here.min()
        assert here.max() <= high * 1.01


def test_values_that_three_figures_would_merge_stay_apart() -> None:
    words, series = grouped(pd.DataFrame({"learning_rate": [3e-4, 3.0001e-4, 1e-3]}), "learning_rate")
    assert [entry.label for entry in series] == ["0.0003", "0.00030001", "0.001"]
    assert len(set(words)) == 3


def test_a_rank_correlation_that_no_straight_line_shows_is_said_to_be_one() -> None:
    linear = {"pearson": 0.1, "pearson_low": -0.1, "pearson_high": 0.3}
    headline, _, limits = told({**row("broad", 0.4, 0.2, 0.6), **linear})
    assert "goes with higher return in the broad space" in headline
    assert limits[-1] == (
        "broad on e: the order of trials (Spearman) and a straight line (Pearson) do not say the same; "
        "Pearson 0.10, interval \u22120.10 to 0.30."
    )
    agreeing = {"pearson": 0.3, "pearson_low": 0.1, "pearson_high": 0.5}
    _, _, limits = told({**row("broad", 0.4, 0.2, 0.6), **agreeing})
    assert not any("Pearson" in limit for limit in limits)


def test_small_returns_keep_their_decimals_beside_another_environments_hundreds() -> None:
    measures = ("return_mean",)
    frame = pd.DataFrame(
        [
            {
                "env": env,
                "space": "s",
                "activation": "relu",
                "n_planned": 2,
                "n_trials": 2,
                "n_configurations": 2,
            }
            | {"n_diverged": 0, "return_mean": value, "return_mean_q25": low, "return_mean_q75": high}
            for env, value, low, high in (("catch", 0.65, -0.2, 1.0), ("asterix", 425.0, 312.5, 537.5))
        ]
    )
    rows = summary_table(frame, measures, ["activation"], "demo").rows
    assert [row[-1] for row in rows] == ["0.65 [\u22120.20, 1.00]", "425 [312, 538]"]


def test_learning_rates_are_written_without_padding() -> None:
    _, series = grouped(pd.DataFrame({"learning_rate": [1e-5, 3.16228e-5, 1e-4]}), "learning_rate")
    assert [entry.label for entry in series] == ["1e-5", "3.16e-5", "0.0001"]
