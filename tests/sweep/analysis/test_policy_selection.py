from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweep.analysis import AnalysisError, policy_selection
from sweep.analysis.training.regret import regret

Table = Callable[..., pd.DataFrame]
RATES = list(np.geomspace(1e-5, 1e-2, 6))
SEEDS = 5


def _game(
    trials_table: Table, env: str, prefix: str, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return peaks at a rate of its own; rank says so with noise, dead units say the opposite at the middle."""
    trials = trials_table(RATES, SEEDS, env=env, prefix=prefix)
    place = np.log10(trials["learning_rate"].to_numpy())
    rows = []
    for step in (500, 1000):
        worth = -((place + 3.5) ** 2) + rng.normal(0, 0.5, len(trials))
        rows.append(
            pd.DataFrame(
                {
                    "trial_id": trials["trial_id"],
                    "step": step,
                    "return_mean": 10 + worth,
                    "return_normalized": (10 + worth) / 20,
                    "srank": np.round(20 + 5 * worth + rng.normal(0, 5, len(trials))),
                    "dead_units": np.round(np.clip(20 + 8 * (place + 3), 0, None)),
                    "td_error": np.exp(place),
                    "q_mean": rng.normal(size=len(trials)),
                }
            )
        )
    return trials, pd.concat(rows, ignore_index=True)


@pytest.fixture
def games(trials_table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    made = [_game(trials_table, f"atari/{name}", name[0], rng) for name in ("Asterix", "Breakout", "Zaxxon")]
    return pd.concat([t for t, _ in made]), pd.concat([m for _, m in made])


def _wide(
    trials: pd.DataFrame, metrics: pd.DataFrame, env: str, column: str, step: int = 1000
) -> pd.DataFrame:
    joined = metrics[metrics["step"] == step].merge(trials[["trial_id", "env", "learning_rate", "seed"]])
    return joined[joined["env"] == env].pivot_table(index="seed", columns="learning_rate", values=column)


def _row(table: pd.DataFrame, env: str, selector: str) -> pd.Series:
    found = table[(table["env"] == env) & (table["selector"] == selector)]
    assert len(found) == 1
    return found.iloc[0]


def test_regret_of_the_highest_rank_by_hand(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = policy_selection(*games)
    rank, worth = (_wide(*games, "atari/Asterix", name) for name in ("srank", "return_mean"))
    value = worth.mean()
    regrets = []
    for seed in rank.index:
        tied = rank.loc[seed] == rank.loc[seed].max()
        regrets.append((value.max() - value[tied].mean()) / (value.max() - value.min()))
    row = _row(table, "atari/Asterix", "srank:max")
    assert row["regret"] == pytest.approx(np.mean(regrets))
    assert row["regret_se"] == pytest.approx(stats.sem(regrets))
    low, high = stats.t.interval(0.95, SEEDS - 1, np.mean(regrets), stats.sem(regrets))
    assert (row["regret_low"], row["regret_high"]) == pytest.approx((max(low, 0), min(high, 1)))
    assert (row["n_seeds"], row["n_candidates"], row["step"]) == (5, 6, 1000)


def test_a_seeds_own_policy_can_be_what_counts(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = policy_selection(*games, valued="own", selectors=["return_mean:max", "q_mean:max"])
    assert _row(table, "atari/Zaxxon", "return_mean:max")["regret"] == 0
    q, worth = (_wide(*games, "atari/Zaxxon", name) for name in ("q_mean", "return_mean"))
    expected = [float(regret(worth.loc[s, q.loc[s].idxmax()], worth.loc[s].to_numpy())) for s in q.index]
    assert _row(table, "atari/Zaxxon", "q_mean:max")["regret"] == pytest.approx(np.mean(expected))


def test_the_online_best_has_no_regret_and_chance_has_that_of_the_mean(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    table = policy_selection(*games)
    for env in ("atari/Asterix", "atari/Breakout", "atari/Zaxxon", "all"):
        assert _row(table, env, "online best")["regret"] == 0
    value = _wide(*games, "atari/Breakout", "return_mean").mean().to_numpy()
    assert _row(table, "atari/Breakout", "random")["regret"] == pytest.approx(
        np.mean([regret(v, value) for v in value])
    )


def test_the_median_choice_is_one_rate_for_all_games(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = policy_selection(*games)
    envs = ("atari/Asterix", "atari/Breakout", "atari/Zaxxon")
    normalized = pd.concat([_wide(*games, env, "return_normalized").mean() for env in envs], axis=1)
    rate = normalized.median(axis=1).idxmax()
    chosen = table[(table["selector"] == "online median") & (table["env"] != "all")]
    assert chosen["chosen"].tolist() == [f"{rate:.4g}"] * 3
    assert (chosen["gain"] == 0).all()
    best = _row(table, envs[0], "online best")
    value = _wide(*games, envs[0], "return_mean").mean()
    assert best["gain"] == pytest.approx(100 * (value.max() - value[rate]) / abs(value[rate]))


def test_without_normalised_returns_the_median_is_of_places_between_worst_and_best(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = games
    table = policy_selection(trials, metrics.drop(columns="return_normalized"))
    envs = ("atari/Asterix", "atari/Breakout", "atari/Zaxxon")
    scaled = []
    for env in envs:
        value = _wide(trials, metrics, env, "return_mean").mean()
        scaled.append((value - value.min()) / (value.max() - value.min()))
    rate = pd.concat(scaled, axis=1).median(axis=1).idxmax()
    assert _row(table, envs[0], "online median")["chosen"] == f"{rate:.4g}"


def test_the_mean_over_games_has_its_error_over_seeds(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = policy_selection(*games, selectors=["q_mean:max"])
    per_seed = []
    for env in ("atari/Asterix", "atari/Breakout", "atari/Zaxxon"):
        q, value = _wide(*games, env, "q_mean"), _wide(*games, env, "return_mean").mean()
        per_seed.append([float(regret(value[q.loc[s].idxmax()], value.to_numpy())) for s in q.index])
    means = np.mean(per_seed, axis=0)
    row = _row(table, "all", "q_mean:max")
    assert (row["regret"], row["regret_se"]) == pytest.approx((means.mean(), stats.sem(means)))
    assert row["n_trials"] == 90
    assert row["note"] == "mean of 3 environments"


def test_choosing_early_counts_the_end_or_the_moment(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for valued_at, step in (("end", 1000), ("step", 500)):
        table = policy_selection(*games, steps=[500], selectors=["q_mean:max"], valued_at=valued_at)  # type: ignore[arg-type]
        q = _wide(*games, "atari/Asterix", "q_mean", 500)
        value = _wide(*games, "atari/Asterix", "return_mean", step).mean()
        expected = [float(regret(value[q.loc[s].idxmax()], value.to_numpy())) for s in q.index]
        row = _row(table, "atari/Asterix", "q_mean:max")
        assert row["regret"] == pytest.approx(np.mean(expected))
        assert row["step"] == 500


def test_sets_of_candidates_bracket_the_regret_and_a_perfect_score_never_regrets(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    table = policy_selection(*games, draws=500)
    row = _row(table, "atari/Asterix", "dead_units:min")
    assert 0 <= row["sets_low"] <= row["sets_mean"] <= row["sets_high"] <= 1
    assert _row(table, "atari/Asterix", "online best")["sets_high"] == 0


def test_whole_configurations_can_be_chosen(trials_table: Table) -> None:
    trials = trials_table([1e-4, 1e-3], 3, activations=("relu", "tanh"))
    code = trials["learning_rate"].rank().to_numpy() + 10 * (trials["activation"] == "tanh").to_numpy()
    metrics = pd.DataFrame(
        {"trial_id": trials["trial_id"], "step": 1000, "return_mean": code, "srank": -code, "seed": 0}
    )
    table = policy_selection(trials, metrics, of="configuration", selectors=["srank:max"])
    row = _row(table, "bsuite/catch/0", "srank:max")
    assert row["chosen"] == "activation=relu, learning_rate=0.0001"
    assert (row["regret"], row["n_candidates"], row["chosen_share"]) == (1, 4, 1)


def test_notes_say_what_a_choice_stands_on(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = games
    gone = trials.copy()
    gone.loc[
        (gone["env"] == "atari/Asterix") & (gone["seed"] == 0) & (gone["learning_rate"] > 5e-3), "status"
    ] = "diverged"
    unranked = metrics.copy()
    unranked.loc[
        unranked["trial_id"].isin(trials.loc[trials["learning_rate"] < 2e-5, "trial_id"]), "srank"
    ] = np.nan
    table = policy_selection(gone, unranked)
    row = _row(table, "atari/Asterix", "srank:max")
    assert "0.01 lost 1 of 5" in row["note"]
    assert "srank is missing for 1 of 6 candidates" in row["note"]
    none_dead = policy_selection(trials, metrics.assign(dead_units=0.0))
    assert _row(none_dead, "atari/Asterix", "dead_units:min")["note"] == "up to 6 candidates share the choice"
    one = trials[trials["seed"] == 0]
    row = _row(policy_selection(one, metrics), "atari/Asterix", "srank:max")
    assert "one seed" in row["note"]
    assert np.isnan(row["regret_se"])


def test_a_measure_that_was_not_taken_is_refused_and_left_out_of_the_mean(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = games
    metrics = metrics.copy()
    asterix = trials.loc[trials["env"] == "atari/Asterix", "trial_id"]
    metrics.loc[metrics["trial_id"].isin(asterix), "q_mean"] = np.nan
    table = policy_selection(trials, metrics)
    row = _row(table, "atari/Asterix", "q_mean:max")
    assert row["note"].startswith("refused: q_mean was not measured")
    assert np.isnan(row["regret"])
    assert _row(table, "all", "q_mean:max")["note"] == "mean of 2 environments, without atari/Asterix"


def test_games_without_a_candidate_in_common_have_no_median_choice(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = games
    apart = trials.assign(learning_rate=trials["learning_rate"] * trials["env"].map(len))
    row = _row(policy_selection(apart, metrics), "atari/Zaxxon", "online median")
    assert row["note"] == "refused: no candidate is in every environment"


def test_a_fitted_q_evaluation_is_used_where_there_is_one(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = games
    table = policy_selection(trials, metrics.assign(fqe_value=metrics["return_mean"]), valued="own")
    assert _row(table, "atari/Asterix", "fqe_value:max")["regret"] == 0


def test_usual_measures_that_the_metrics_lack_are_not_asked_for(
    games: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = games
    table = policy_selection(trials, metrics.drop(columns=["td_error", "q_mean"]))
    assert set(table["selector"]) == {
        *("online best", "online median", "random", "srank:max", "dead_units:min")
    }


def test_refusals_come_with_numbers(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = games
    two = trials[trials["learning_rate"] < 5e-5]
    assert policy_selection(two, metrics).iloc[0]["note"].startswith("refused: 2 candidates, at least 3")
    same = policy_selection(trials, metrics.assign(return_mean=3.0))
    assert same["note"].tolist() == ["refused: return_mean is 3 of every candidate"] * 3
    pruned = policy_selection(trials.assign(scheduler="asha"), metrics)
    assert pruned["note"].str.contains("ran under early stopping").all()
    early = policy_selection(trials, metrics, steps=[100], valued_at="step")
    assert early["note"].tolist() == ["refused: return_mean was not measured by step 100"] * 3


def test_groups_do_not_touch_each_other(games: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = games
    alone = policy_selection(trials[trials["env"] == "atari/Zaxxon"], metrics)
    together = policy_selection(trials, metrics)
    mine = together[together["env"] == "atari/Zaxxon"].reset_index(drop=True)
    keep = (alone["selector"] != "online median").to_numpy()
    columns = [c for c in alone.columns if not c.startswith("gain")]
    pd.testing.assert_frame_equal(alone.loc[keep, columns], mine.loc[keep, columns])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"selectors": []}, "name measures with a direction"),
        ({"selectors": ["srank"]}, "write it as srank:max"),
        ({"selectors": ["srank:up"]}, "not a measure with a direction"),
        ({"selectors": ["rank:max"]}, "no column 'rank'"),
        ({"valued": "median"}, "must be mean or own"),
        ({"valued_at": "then"}, "must be end or step"),
        ({"of": "flavour"}, "no column 'flavour'"),
        ({"steps": [-1]}, "name gradient steps"),
        ({"draws": 5}, "at least 100"),
    ],
)
def test_wrong_questions_name_what_is_allowed(
    games: tuple[pd.DataFrame, pd.DataFrame], options: dict[str, object], says: str
) -> None:
    with pytest.raises(AnalysisError, match=says):
        policy_selection(*games, **options)  # type: ignore[arg-type]
