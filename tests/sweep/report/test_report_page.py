import base64
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.analysis import correlation
from sweep.errors import CorruptSegmentError, UsageError
from sweep.report import SweepData, build, render_report, write_report
from sweep.report.sections import SECTIONS
from sweep.store import Store, SweepStore

MakeSweep = Callable[..., SweepStore]


class Page(HTMLParser):
    """What a browser would fetch, the ids, the downloads and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.downloads: dict[str, str] = {}
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.data = ""
        self._within = ""
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "xlink:href", "data") if name in given]
        self._within = given.get("id", tag) if tag in ("script", "style") else ""
        if "id" in given:
            self.ids.append(given["id"])
        if "download" in given:
            self.downloads[given["download"]] = given["href"]

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "report-data":
            self.data += data
        elif not self._within:
            self.words.append(data)


def csv_of(page: Page, name: str) -> pd.DataFrame:
    head, _, data = page.downloads[name].partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    return pd.read_csv(io.BytesIO(base64.b64decode(data)), float_precision="round_trip")


@pytest.fixture(scope="module")
def html(finished_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(finished_root, "demo", tmp_path_factory.mktemp("report") / "demo.html")
    return path.read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def first_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page down to its scatters: the rest takes seconds, and these tests do not look at it."""
    monkeypatch.setattr(build, "SECTIONS", SECTIONS[:2])


def test_the_page_needs_nothing_but_itself(html: str, page: Page) -> None:
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert {link for link in page.links if not link.startswith(("#", "data:text/csv"))} == set()
    assert page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    assert not re.search(r"<script[^>]*\ssrc", html)
    assert page.tags["script"] == 3  # data, plotly.js, and what joins the two
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_ids_do_not_clash_and_every_reference_has_its_target(html: str, page: Page) -> None:
    assert [name for name, number in Counter(page.ids).items() if number > 1] == []
    wanted = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert {a or b for a, b in wanted} <= set(page.ids)


def test_figures_take_their_colors_from_the_page_so_that_dark_mode_reaches_them(html: str) -> None:
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) >= 10
    for figure in figures:
        assert re.findall(r"#[0-9a-fA-F]{6}\b", figure) == []
        assert 'aria-label="' in figure
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html)) - {"--least"}  # a width
    light, dark = html.split("prefers-color-scheme: dark", 1)
    for variable in used:
        assert f"{variable}:" in light, variable
        assert f"{variable}:" in dark, variable


def test_the_same_store_gives_the_same_bytes(finished_root: Path, html: str, tmp_path: Path) -> None:
    assert write_report(finished_root, "demo", tmp_path / "again.html").read_text() == html


@pytest.mark.usefixtures("first_sections")
def test_it_lies_under_the_root_by_default(small_root: Path) -> None:
    assert write_report(small_root, "demo", draws=100) == small_root / "reports" / "demo.html"


def test_downloads_hold_the_numbers_of_the_tables_and_figures(finished_root: Path, page: Page) -> None:
    store = Store(finished_root)
    expected = correlation(store.trials("demo"), store.metrics("demo"))
    found = csv_of(page, "demo-correlation.csv")
    np.testing.assert_array_equal(found["spearman_low"], expected["spearman_low"])
    points = csv_of(page, "demo-bsuite-catch-0-srank-against-return-mean.csv")
    assert points["space"].value_counts().to_dict() == {
        row["space"]: row["n_trials"]
        for row in expected.to_dict("records")
        if row["env"].startswith("bsuite")
    }
    curve = csv_of(page, "demo-bsuite-catch-0-narrow-curves-learning-rate.csv")
    assert set(curve["measure"]) == {"srank", "return_mean", "dead_units"}
    assert len(page.downloads) == page.tags["figure"] + page.tags["table"]


def test_verdict_repeats_the_numbers_of_the_table(finished_root: Path, page: Page) -> None:
    store = Store(finished_root)
    rows = correlation(store.trials("demo"), store.metrics("demo")).set_index("space")
    for space in ("narrow", "broad"):
        row = rows.loc[space]
        low, high = (f"{row[f'spearman_{end}']:.2f}".replace("-", "\u2212") for end in ("low", "high"))
        assert (
            f"{space}: Spearman {row['spearman']:.2f}, 95 % interval {low} to {high}; "
            f"{row['n_trials']} trials of {row['n_configurations']} configurations" in page.text
        )
    assert "No correlation for atari on atari/Asterix: 2 configurations" in page.text
    assert "association between trained networks, not the effect of changing the effective rank" in page.text


def test_people_read_words_not_column_names(page: Page) -> None:
    for raw in (
        "return_mean",
        "learning_rate",
        "dead_units",
        "n_trials",
        "target_update_period",
        "nan",
        "NaN",
    ):
        assert raw not in page.text.split("Provenance")[0]


def test_exclusions_are_counted_by_reason(finished_root: Path, page: Page) -> None:
    diverged = int((Store(finished_root).trials("demo")["status"] == "diverged").sum())
    assert diverged > 0
    table = csv_of(page, "demo-exclusions.csv").set_index("space")
    assert table.loc["broad", "n_diverged"] == diverged
    assert table["n_planned"].tolist() == (table["n_trials"] + table["n_excluded"]).tolist()
    assert f"{diverged} diverged" in page.text


def test_provenance_has_the_studys_text_escaped(page: Page, html: str) -> None:
    assert "title: Rank & return <narrow, broad>" in page.text
    assert "0123abc" in page.text
    assert "<narrow" not in html


def test_300_trials_stay_under_8_megabytes(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path, broad=400)
    assert len(sweep.trials()) >= 300
    path = write_report(tmp_path, "demo")
    assert path.stat().st_size < 8e6
    assert path.read_text().count('id="plotly-source"') == 1


@pytest.mark.usefixtures("first_sections")
def test_an_unfinished_sweep_says_so(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path, broad=24, atari=0, packs_done=5)
    page = Page(write_report(tmp_path, "demo", draws=100).read_text())
    trials = sweep.trials()
    ended = int(trials["status"].isin(["finished", "diverged"]).sum())
    assert 0 < ended < len(trials)
    assert f"Provisional: {ended} of {len(trials)} trials have ended." in page.text
    assert "Unfinished" in page.text


def test_a_sweep_that_has_not_begun_has_a_report(tmp_path: Path, make_sweep: MakeSweep) -> None:
    make_sweep(tmp_path, packs_done=0, broad=10)
    page = Page(write_report(tmp_path, "demo").read_text())
    assert "Too little to judge effective rank against return: 0 of" in page.text
    assert "No trial has finished yet." in page.text
    assert page.tags["svg"] == 0


def test_a_sweep_without_any_trial_has_a_report(tmp_path: Path) -> None:
    Store(tmp_path).create("empty")
    assert "Too little to judge" in Page(write_report(tmp_path, "empty").read_text()).text


@pytest.mark.usefixtures("first_sections")
def test_failures_are_told_with_their_reason(tmp_path: Path, make_sweep: MakeSweep) -> None:
    sweep = make_sweep(tmp_path, broad=24, atari=0, packs_done=3)
    pack = sorted(set(sweep.trials()["pack_id"]) - sweep.packs_done())[0]
    attempt = sweep.start_attempt(pack, {"resume_step": -1})
    sweep.fail_pack(pack, attempt, {"reason": "CUDA out of memory <device 0>"})
    page = Page(write_report(tmp_path, "demo", draws=100).read_text())
    number = int((sweep.trials()["status"] == "failed").sum())
    assert number > 0
    assert f"{number} trial{'s' * (number > 1)} failed: CUDA out of memory <device 0>" in page.text


@pytest.mark.usefixtures("first_sections")
def test_a_damaged_segment_is_named_and_can_be_skipped(tmp_path: Path, make_sweep: MakeSweep) -> None:
    make_sweep(tmp_path, broad=12, atari=0)
    segment = sorted((tmp_path / "store" / "demo" / "hot").glob("*/*.parquet"))[0]
    segment.write_bytes(segment.read_bytes()[:100])
    with pytest.raises(CorruptSegmentError, match=segment.name):
        write_report(tmp_path, "demo")
    page = Page(write_report(tmp_path, "demo", draws=100, skip_corrupt=True).read_text())
    assert segment.name in page.text
    assert "Measure missing" in page.text


def test_text_from_outside_cannot_become_markup(small_root: Path) -> None:
    store = Store(small_root)
    trials = store.trials("demo")
    bad = "<script>alert(1)</script>"
    trials["spaces"] = [[bad if s == "narrow" else s for s in spaces] for spaces in trials["spaces"]]
    data = SweepData(bad, trials, store.metrics("demo"), {"question": bad, bad: bad})
    html = render_report(data, draws=100)
    assert bad not in html
    page = Page(html)
    assert bad in page.text
    assert page.tags["script"] == 3
    assert bad in json.dumps(json.loads(page.data), ensure_ascii=False)


@pytest.mark.usefixtures("first_sections")
def test_another_measure_can_be_asked_for_and_an_unknown_one_is_refused(
    small_root: Path, tmp_path: Path
) -> None:
    path = write_report(small_root, "demo", tmp_path / "r.html", measure="numerical_rank", draws=100)
    assert "higher numerical rank goes with higher return" in path.read_text()
    with pytest.raises(UsageError, match="sranc"):
        write_report(small_root, "demo", tmp_path / "r.html", measure="sranc")
