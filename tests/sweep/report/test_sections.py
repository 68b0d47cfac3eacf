"""What the sections say is what their tables hold."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.analysis.catalog import TABLES
from sweep.analysis.foreign import runs_from
from sweep.errors import CorruptSegmentError
from sweep.export import result_table
from sweep.report import SweepData, context, data, render_report
from sweep.report.context import Context
from sweep.report.data import read_sweep, traced
from sweep.report.page import PageTable, Paragraph, Plot, Section
from sweep.report.reads import measures_for
from sweep.report.sections import SECTIONS, judgement
from sweep.store import Store


@pytest.fixture(scope="module")
def demo(finished_root: Path) -> Context:
    read = read_sweep(finished_root, "demo", measures_for("srank", "return_mean"))
    return Context(read, "srank", "return_mean", draws=200, seed=0)


@pytest.fixture(scope="module")
def made(demo: Context) -> dict[str, Section]:
    return {section.name: section for section in (build(demo) for build in SECTIONS)}


def table_of(section: Section, number: int = 0) -> pd.DataFrame:
    table = section.tables[number]
    return pd.DataFrame(table.rows, columns=list(table.head))


def test_the_page_goes_from_design_through_evidence_to_provenance(made: dict[str, Section]) -> None:
    assert list(made) == [
        *(
            "design",
            "scatter",
            "effects",
            "interventions",
            "simpson",
            "thresholds",
            "curves",
            "specification",
        ),
        *("sensitivity", "mediation", "policy", "performance", "robustness", "values", "final", "provenance"),
    ]


def test_a_section_without_anything_to_show_says_why(made: dict[str, Section]) -> None:
    absent = {name for name, section in made.items() if not section.blocks}
    assert absent == {"robustness", "values"}
    assert "No trial has returns under disturbances" in made["robustness"].absent
    assert all(bool(section.blocks) != bool(section.absent) for section in made.values())


def test_every_plot_has_a_caption_with_its_number_of_trials_or_runs(made: dict[str, Section]) -> None:
    plots = [plot for section in made.values() for plot in section.plots]
    assert len(plots) > 20
    for plot in plots:
        assert plot.caption.endswith(".")
        assert plot.panels
        assert plot.download.href.startswith("data:text/csv")
    for name in ("scatter", "effects", "simpson", "thresholds", "specification", "policy"):
        for plot in made[name].plots:
            assert " trial" in plot.caption, plot.caption


def test_the_verdict_has_the_correlations_and_then_the_audits_words(demo: Context) -> None:
    found = judgement(demo)
    told = [finding.headline for finding in found.findings]
    assert told[0].startswith("On bsuite/catch/0, higher effective rank goes with higher return")
    audited = demo.verdicts.set_index("space")
    assert (audited.loc[["narrow", "broad"], "verdict"] == "cannot tell").all()
    assert told[-1] == (
        "Narrow, bsuite/catch/0; broad, bsuite/catch/0: what holding hyperparameters fixed does to the association of "
        "effective rank with return cannot be told."
    )
    diverged = int((demo.trials["status"] == "diverged").sum())
    assert any(f"{diverged} of" in limit and "diverged and are left out" in limit for limit in found.limits)


def test_an_audit_without_a_caveat_adds_no_limit(demo: Context) -> None:
    other = Context(demo.data, "srank", "return_mean", draws=200, seed=0)
    other.__dict__["verdicts"] = demo.verdicts.assign(caveats="")
    limits = judgement(other).limits
    assert not any(limit.rstrip(".").endswith(":") for limit in limits)
    assert len(limits) < len(judgement(demo).limits)


def test_what_an_audit_tells_for_certain_stands_in_the_verdict_with_the_hyperparameter(demo: Context) -> None:
    other = Context(demo.data, "srank", "return_mean", draws=200, seed=0)
    told = demo.verdicts.assign(
        verdict=["shrinks" if space == "broad" else "cannot tell" for space in demo.verdicts["space"]],
        variable=["activation" if space == "broad" else None for space in demo.verdicts["space"]],
    )
    other.__dict__["verdicts"] = told
    headlines = [finding.headline for finding in judgement(other).findings]
    assert (
        "Broad, bsuite/catch/0: the association of effective rank with return shrinks when hyperparameters are held "
        "fixed; activation does it." in headlines
    )


def test_effects_of_interventions_are_those_of_the_table(demo: Context, made: dict[str, Section]) -> None:
    shown = table_of(made["interventions"])
    table = demo.table("intervention-ate", outcome="return_mean")
    known = table[table["effect"].notna()]
    effects = [
        float(text.split(" ")[0].replace("\u2212", "-")) for text in shown["Effect"] if text != "\u2013"
    ]
    np.testing.assert_allclose(effects, known["effect"], atol=0.005)
    pairs = demo.table("pairwise-ate", outcome="srank")
    found, all_ = int((pairs["p_bh"] < 0.05).sum()), int(pairs["effect"].notna().sum())
    captions = [plot.caption for plot in made["interventions"].plots]
    assert any(f"leaves {found} of {all_} pairs with an effect" in caption for caption in captions)


def test_phases_are_counted_where_the_simulation_has_them(made: dict[str, Section]) -> None:
    """Half of the narrow trials, those of the three highest learning rates, fall, recover and fall."""
    shown = table_of(made["curves"]).set_index(["Space", "Phase"])
    assert [shown.loc[("narrow", str(phase)), "Present in"] for phase in (1, 2, 3)] == [
        "12 of 24",
        "24 of 24",
        "12 of 24",
    ]
    assert shown.loc[("broad", "3"), "Present in"].startswith("0 of ")


def test_regret_names_what_each_choice_looks_at(made: dict[str, Section]) -> None:
    chosen = set(table_of(made["policy"])["Chosen by"])
    assert chosen >= {
        "highest effective rank",
        "fewest dead units",
        "lowest TD error",
        "online best",
        "random",
    }


def test_long_notes_stand_under_their_table_once(made: dict[str, Section]) -> None:
    (table,) = made["scatter"].tables
    assert isinstance(table, PageTable)
    numbers = {row[-1] for row in table.rows if row[-1]}
    assert numbers == {str(number + 1) for number in range(len(table.notes))}
    assert any("at least 5 are needed" in note for note in table.notes)


def test_more_trials_than_can_be_drawn_are_thinned_and_the_caption_says_so(
    demo: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = demo.ends[demo.ends["env"] == "bsuite/catch/0"]
    kept = context.thinned(points, 50)
    sizes = kept["space"].value_counts()
    assert sizes["narrow"] == 24
    assert 30 <= sizes["broad"] <= 50
    assert set(kept.index) <= set(points.index)
    monkeypatch.setattr("sweep.report.sections.scatter.thinned", lambda rows: context.thinned(rows, 50))
    plot = SECTIONS[1](demo).plots[0]
    assert f"{len(kept)} marks of {len(points)} are drawn" in plot.caption
    assert plot.live is not None
    assert sum(len(trace["x"]) for trace in plot.live.data["traces"]) == len(kept)


def test_of_many_trials_all_seeds_of_some_configurations_are_traced(
    finished_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Store(finished_root).trials("demo")
    assert set(traced(trials)) == set(trials["trial_id"])
    monkeypatch.setattr(data, "MOST_TRACED", 40)
    chosen = traced(trials)
    assert chosen == traced(trials)
    rows = trials[trials["trial_id"].isin(chosen)]
    narrow = trials["spaces"].map(lambda spaces: "narrow" in spaces)
    assert rows["trial_id"].isin(trials.loc[narrow, "trial_id"]).sum() == narrow.sum() == 24
    assert 20 <= rows["spaces"].map(lambda spaces: "broad" in spaces).sum() <= 45
    read = read_sweep(finished_root, "demo", ["srank", "return_mean", "dead_units"])
    assert read.traced is not None
    assert set(read.traced["trial_id"]) == set(chosen)
    curves = SECTIONS[6](Context(read, "srank", "return_mean", 200, 0))
    told = [block.text for block in curves.blocks if isinstance(block, Paragraph)]
    assert told[0].startswith(f"Curves and phases are of {len(chosen)} of {len(trials)} trials")


def test_an_unplanned_sweep_has_a_reason_in_every_section(tmp_path: Path) -> None:
    Store(tmp_path).create("empty")
    read = read_sweep(tmp_path, "empty", ["srank", "return_mean"])
    for build in SECTIONS:
        section = build(Context(read, "srank", "return_mean", 200, 0))
        assert section.blocks or section.absent


def test_damaged_long_vectors_are_left_out_only_where_that_was_asked(
    small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> dict[str, object]:
        raise CorruptSegmentError("spectra.parquet is truncated", Path("spectra.parquet"))

    # Every table that reads more of its sweep meets the damage, whoever asks.
    for name, table in TABLES.items():
        if table.also is not None:
            monkeypatch.setitem(TABLES, name, dataclasses.replace(table, also=damaged))
    measures = measures_for("srank", "return_mean")
    with pytest.raises(CorruptSegmentError, match="truncated"):
        SECTIONS[7](Context(read_sweep(small_root, "demo", measures), "srank", "return_mean", 200, 0))
    asked = read_sweep(small_root, "demo", measures, skip_corrupt=True)
    assert SECTIONS[7](Context(asked, "srank", "return_mean", 200, 0)).blocks
    with pytest.raises(CorruptSegmentError, match="truncated"):
        result_table(small_root, "demo", "specification-curve")
    assert len(result_table(small_root, "demo", "specification-curve", skip_corrupt=True))


def test_runs_of_another_tool_have_the_same_page(make_runs: Callable[[], pd.DataFrame]) -> None:
    runs = runs_from(make_runs(), hyperparameters=["lr", "width"])
    page = render_report(
        SweepData("mine", runs.trials, runs.metrics), measure="rank", outcome="accuracy", draws=100
    )
    assert "Accuracy against rank on" in page
    assert "config.lr" not in page.split("<script")[0].split("Provenance")[0].replace('download="', "")
    assert "The trials have no learning rate to choose." in page


def test_errors_of_values_are_shown_where_they_were_measured(demo: Context) -> None:
    metrics = demo.data.metrics
    gap = pd.Series(np.where(metrics["srank"].notna(), 100 - metrics["srank"], np.nan), metrics.index)
    measured = dataclasses.replace(demo.data, metrics=metrics.assign(value_gap=gap), traced=None, read=None)
    section = SECTIONS[13](Context(measured, "srank", "return_mean", 200, 0))
    shown = table_of(section)
    assert set(shown.loc[shown["Spearman"].str.startswith("\u2212"), "Association"]) == {"anti-correlated"}
    assert isinstance(section.plots[0], Plot)


def test_what_is_kept_under_disturbances_is_drawn_for_each(demo: Context) -> None:
    trials = demo.trials
    finished = trials.loc[trials["status"] == "finished", "trial_id"]
    spectra = pd.DataFrame(
        {
            "trial_id": finished,
            "step": 10_000,
            "name": "robustness_shift_returns",
            "values": [np.array([10.0, 8.0 + 0.01 * i, 5.0, 2.0]) for i in range(len(finished))],
        }
    )
    settings = {"settings": {trial: {"shift": [1, 2, 4]} for trial in finished}}
    shaken = dataclasses.replace(
        demo.data, read=lambda table, options: spectra, also=lambda table, options: settings, _frames={}
    )
    section = SECTIONS[12](Context(shaken, "srank", "return_mean", 200, 0))
    assert section.plots[0].title.startswith("Shift, ")
    assert "area" in set(table_of(section)["Statistic"])
