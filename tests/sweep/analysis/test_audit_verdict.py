"""Verdicts of audits in words: right where the truth is known, and never more than the intervals say."""

import numpy as np
import pandas as pd
import pytest
from structural_models import (
    few_seeds,
    hidden_confounder,
    no_effect,
    observed_confounding,
    simpson_reversal,
    simulate,
)

from sweep.analysis.confounding.audit import audit
from sweep.analysis.confounding.audit_verdict import VERDICT_COLUMNS, audit_verdict
from sweep.analysis.confounding.prose import bounded, listed, number, percent
from sweep.analysis.frames import AnalysisError


@pytest.fixture(scope="module")
def shrinking() -> pd.DataFrame:
    trials, metrics, _ = observed_confounding(np.random.default_rng(0), 100, 4)
    return audit(trials, metrics, draws=200)


def test_the_hyperparameter_that_does_it_is_named_with_numbers_units_and_n(shrinking: pd.DataFrame) -> None:
    verdict = audit_verdict(shrinking).iloc[0]
    assert list(audit_verdict(shrinking).columns) == ["env", "space", *VERDICT_COLUMNS]
    assert (verdict["verdict"], verdict["variable"]) == ("shrinks", "learning_rate")
    pooled, adjusted = (shrinking[shrinking["approach"] == a].iloc[0] for a in ("pooled", "adjusted"))
    text = verdict["text"]
    assert text.startswith("Over 400 trials of 100 configurations, one standard deviation (")
    assert "directions) more effective rank goes with a return (mean per episode) that differs by" in text
    assert bounded(pooled["estimate"], pooled["low"], pooled["high"]) in text
    assert bounded(adjusted["estimate"], adjusted["low"], adjusted["high"]) in text
    assert "Adjusted for activation, learning rate, weight decay and batch size it is" in text
    assert f"the association shrinks, by {percent(adjusted['change'] / pooled['standardised'])}" in text
    assert "Learning rate changes it most: among trials of one learning rate it is" in text
    assert f"explain {percent(adjusted['robustness_value'])} of what is left" in verdict["sensitivity"]
    assert "times as strong as learning rate would take the estimate to zero" in verdict["sensitivity"]


def test_a_causal_word_is_for_factors_of_the_design_only(shrinking: pd.DataFrame) -> None:
    verdict = audit_verdict(shrinking.assign(kind="associational")).iloc[0]
    assert verdict["randomised"] is None
    for word in ("effect of", "causes", "because", "due to", "leads to"):
        assert word not in verdict["text"]
    set_by = audit_verdict(shrinking.assign(kind="randomised")).iloc[0]["randomised"]
    assert set_by.startswith("Set by the design: ")
    assert "activation tanh instead of relu changes effective rank by" in set_by.lower()


def test_reversals_and_what_is_negligible_have_their_words() -> None:
    trials, metrics, _ = simpson_reversal(np.random.default_rng(1), 80, 3)
    verdict = audit_verdict(audit(trials, metrics, draws=200)).iloc[0]
    assert (verdict["verdict"], verdict["variable"]) == ("reverses", "activation")
    trials, metrics, _ = observed_confounding(np.random.default_rng(2), 200, 4, 0.0)
    undeclared = audit_verdict(audit(trials, metrics, draws=200)).iloc[0]
    assert undeclared["verdict"] == "shrinks"
    assert "the interval holds zero, whether anything is left cannot be told" in undeclared["text"]
    declared = audit_verdict(audit(trials, metrics, draws=200, sesoi=0.2, unit="sd")).iloc[0]
    assert declared["verdict"] == "vanishes"
    assert "what is left is less than the smallest effect of interest" in declared["text"]


def test_what_one_hyperparameter_clearly_does_is_not_lost_to_an_adjustment_too_wide_to_show_it(
    shrinking: pd.DataFrame,
) -> None:
    wide = shrinking["approach"] == "adjusted"
    vague = shrinking.assign(
        word=shrinking["word"].where(~wide, "agrees"),
        change_p_holm=shrinking["change_p_holm"].where(~wide, 0.2),
    )
    verdict = audit_verdict(vague).iloc[0]
    assert (verdict["verdict"], verdict["variable"]) == ("shrinks", "learning_rate")
    assert "a change is not shown here. Learning rate changes it most" in verdict["text"]
    back = vague.assign(change=vague["change"].where(~wide, -0.1))
    assert audit_verdict(back).iloc[0]["verdict"] == "agrees"


def test_an_association_that_stands_agrees_and_nothing_does_it() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(3), 80, 4, 0.2)
    verdict = audit_verdict(audit(trials, metrics, draws=200)).iloc[0]
    assert (verdict["verdict"], verdict["variable"]) == ("agrees", None)
    assert "the association stands; a change is not shown here" in verdict["text"]


def test_where_nothing_is_shown_nothing_is_said() -> None:
    trials, metrics, _ = no_effect(np.random.default_rng(0), 60, 4)
    verdict = audit_verdict(audit(trials, metrics, draws=200)).iloc[0]
    assert (verdict["verdict"], verdict["variable"]) == ("cannot tell", None)
    assert "the interval holds zero, so that no association is shown" in verdict["text"]
    assert "nothing unseen is needed to explain it" in verdict["sensitivity"]


def test_words_on_sweeps_without_an_effect_are_seldom_strong() -> None:
    words = []
    for seed in range(20):
        trials, metrics, _ = no_effect(np.random.default_rng(500 + seed), 24, 2)
        words.append(audit_verdict(audit(trials, metrics, draws=100)).iloc[0]["verdict"])
    assert words.count("cannot tell") >= 15
    assert "reverses" not in words
    assert "vanishes" not in words


def test_a_hidden_confounder_leaves_a_false_verdict_and_a_small_robustness_value() -> None:
    trials, metrics, truth = hidden_confounder(np.random.default_rng(4), 150, 4)
    table = audit(trials, metrics, draws=200)
    verdict = audit_verdict(table).iloc[0]
    assert verdict["verdict"] == "shrinks"
    assert truth.effect == 0
    assert table.loc[table["approach"] == "adjusted", "low"].iloc[0] > 0
    assert "something unseen would have to explain" in verdict["sensitivity"]


def test_a_refused_adjustment_falls_back_on_one_at_a_time() -> None:
    trials, metrics, _ = few_seeds(np.random.default_rng(5), 9, 2)
    table = audit(trials, metrics, draws=100)
    kept = table["approach"] != "adjusted"
    refused = table.assign(
        estimate=table["estimate"].where(kept),
        note=table["note"].where(kept, "refused: 1.2 degrees of freedom"),
    )
    verdict = audit_verdict(refused).iloc[0]
    assert "Adjusting for all hyperparameters at once was refused: 1.2 degrees of freedom" in verdict["text"]
    assert "One at a time, " in verdict["text"]
    assert verdict["caveats"].startswith("few configurations (9)")


def test_a_refused_sample_says_why() -> None:
    trials, metrics, _ = no_effect(np.random.default_rng(6), 10, 2)
    verdict = audit_verdict(audit(trials.assign(scheduler="asha"), metrics)).iloc[0]
    assert verdict["verdict"] == "cannot tell"
    assert verdict["text"].startswith("Refused: 20 trials ran under early stopping (asha)")


def test_environments_together_say_what_they_would_have_shown_mixed() -> None:
    trials, metrics, _ = simulate(
        np.random.default_rng(7), 40, 2, 0.2, environments=2, environment_shift=(20.0, -12.0)
    )
    verdicts = audit_verdict(audit(trials, metrics, draws=200)).set_index("env")
    text = verdicts.loc["all", "text"]
    assert text.startswith(
        "Within environments, over 160 trials of 40 settings, one standard deviation more effective rank"
    )
    assert "within environments the association reverses" in text
    assert len(verdicts) == 3


def test_what_is_no_audit_is_refused(shrinking: pd.DataFrame) -> None:
    with pytest.raises(AnalysisError, match="the audit table has no column 'approach'"):
        audit_verdict(shrinking.drop(columns="approach"))


def test_numbers_read_as_numbers() -> None:
    assert number(-0.03124) == "\u22120.0312"
    assert number(12500.4) == "12,500"
    assert bounded(0.6234, 0.312, 0.841) == "0.62 (0.31 to 0.84)"
    assert bounded(1234.0, 1200.0, 1270.0) == "1,234 (1,200 to 1,270)"
    assert bounded(0.5, 0.0004, 1.2) == "0.5 (0.0004 to 1.2)"
    assert percent(0.004) == "< 1 %"
    assert listed(["learning_rate", "activation", "env"]) == "learning rate, activation and environment"
