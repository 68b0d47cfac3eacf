"""The page in a real browser: at a desk and on a phone, in light and dark, from the disk and without a network."""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sweep.report import data, write_report
from sweep.report.live import RunLinks

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
sys.path.append(str(PICTURES))

from browser import BROWSERS, Browser  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason=f"needs one of {', '.join(BROWSERS)}"),
]

RUNS = "http://127.0.0.1:9/#/experiments/1/runs/"
SCREENS = [(1280, False), (1280, True), (390, False), (390, True)]

# What is wider than the window, or than the box that it is in, and cannot be scrolled to.
CLIPPED = """[...document.querySelectorAll("h1, h2, h3, p, li, dt, dd, figcaption, summary, nav a")]
  .filter(e => e.offsetParent && (e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1)
               && getComputedStyle(e).display !== "inline")
  .map(e => e.tagName + " " + e.textContent.slice(0, 60))"""
# Words of a picture outside of it: a cut label.
CUT = """[...document.querySelectorAll(".still svg")].filter(s => s.getBoundingClientRect().width).flatMap(s => {
  const box = s.getBoundingClientRect();
  return [...s.querySelectorAll("text")].filter(t => t.textContent.trim()).filter(t => {
    const b = t.getBoundingClientRect();
    return b.left < box.left - 3 || b.right > box.right + 8 || b.top < box.top - 3 || b.bottom > box.bottom + 3;
  }).map(t => t.textContent + " in " + s.closest("figure").id);
})"""
ALIVE = """(() => { const all = [...document.querySelectorAll("[data-live]")];
  return all.length > 0 && all.every(one => one.redraw); })()"""
# To the next figure that does not answer the pointer yet.
VISIT = (
    "[...document.querySelectorAll('[data-live]')].find(one => !one.redraw).parentElement.scrollIntoView()"
)


@pytest.fixture(scope="module")
def report(finished_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's report with a link for every trial but the first; alone in its folder."""
    out = tmp_path_factory.mktemp("page") / "demo.html"
    from sweep.report import build

    with pytest.MonkeyPatch.context() as patch:
        trials = data.Store(finished_root).trials("demo")["trial_id"]
        links = RunLinks(RUNS, {trial: f"run-{trial}" for trial in trials[1:]})
        patch.setattr(build, "run_links", lambda *args: links)
        write_report(finished_root, "demo", out, draws=500)
    return out


def looked_at(
    report: Path, width: int, dark: bool, look: Callable[[Browser], Any], *, live: bool = True
) -> Any:
    """What ``look`` finds in an open page whose figures answer the pointer; no complaint, nothing asked for."""

    async def visit() -> Any:
        async with Browser(width, 900, dark=dark) as browser:
            await browser.open(report.as_uri(), "document.readyState == 'complete'")
            if live:
                for _ in range(100):
                    if await browser.evaluate(ALIVE):
                        break
                    await browser.evaluate(VISIT)
                    await asyncio.sleep(0.5)
                assert await browser.evaluate(ALIVE)
                await asyncio.sleep(0.5)
            found = await look(browser)
            assert browser.complaints == []
            assert [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))] == []
            return found

    return asyncio.run(visit())


@pytest.mark.parametrize(("width", "dark"), SCREENS)
def test_every_section_can_be_seen_whole(report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    async def look(browser: Browser) -> list[str]:
        assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await browser.evaluate(CLIPPED) == []
        sections = await browser.evaluate("[...document.querySelectorAll('section')].map(one => one.id)")
        for section in sections:
            await browser.shoot(tmp_path / f"{section}.png", of=f"#{section}")
        return list(sections)

    sections = looked_at(report, width, dark, look)
    assert sections[:4] == ["verdict", "design", "scatter", "effects"]
    assert sections[-1] == "absent"
    for section in sections:
        with Image.open(tmp_path / f"{section}.png") as picture:
            colors = picture.convert("L").getcolors() or []
            ground = max(colors)[1]
            assert (ground < 60) == dark, section
            assert picture.width <= width
            # Not a blank: words and lines stand out from the ground.
            assert sum(number for number, shade in colors if abs(shade - ground) > 60) > 50, section


@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_without_script_have_all_their_words(report: Path, tmp_path: Path, width: int) -> None:
    """What a printer and a reader without script get."""
    page = re.sub(r"<script(?! type=).*?</script>", "", report.read_text(), flags=re.DOTALL)
    (tmp_path / "plain.html").write_text(page)

    async def look(browser: Browser) -> None:
        assert await browser.evaluate("document.querySelectorAll('.still svg').length") > 30
        assert await browser.evaluate(CUT) == []
        assert await browser.evaluate("document.querySelectorAll('.live *').length") == 0

    looked_at(tmp_path / "plain.html", width, False, look, live=False)


def test_pointing_at_a_mark_tells_the_trial_and_a_click_opens_its_run(report: Path) -> None:
    shown = json.loads(re.findall(r'id="report-data">(.*?)</script>', report.read_text(), re.DOTALL)[0])

    async def look(browser: Browser) -> None:
        await browser.evaluate("window.opened = []; window.open = url => { window.opened.push(url); }")
        await browser.evaluate(
            "document.querySelector('#scatter-1 .canvas').scrollIntoView({block: 'center'})"
        )
        place = await browser.evaluate(
            """(() => { const plot = document.querySelector("#scatter-1 .canvas"), layout = plot._fullLayout;
              const trace = plot.data.find(t => t.mode === "markers" && t.name === "narrow");
              const box = plot.getBoundingClientRect();
              return {x: box.left + layout.xaxis._offset + layout.xaxis.d2p(trace.x[3]),
                      y: box.top + layout.yaxis._offset + layout.yaxis.d2p(trace.y[3]),
                      trial: trace.customdata[3], value: trace.x[3]}; })()"""
        )
        for nudge in (3, 2, 1, 0):
            await browser.point(place["x"] + nudge, place["y"])
            await asyncio.sleep(0.4)
        told = await browser.evaluate("document.querySelector('#scatter-1 .trial').textContent")
        under = await browser.evaluate(
            "[...document.querySelectorAll('#scatter-1 .hoverlayer')].map(e => e.textContent).join(' ')"
        )
        # Trials lie on one spot; what is told is one of them.
        alike = [
            number
            for trace in shown["figures"]["scatter-1"]["traces"]
            for x, number in zip(trace["x"], trace["trial"], strict=True)
            if abs(x - place["value"]) <= 1
        ]
        (trial,) = [
            n for n in set(alike) if told.startswith(shown["trials"][n] + " \u00b7 effective rank")
        ] or [None]
        assert trial is not None, told
        assert "seed" in under
        assert "Effective rank" in under
        await browser.point(place["x"], place["y"], click=True)
        await asyncio.sleep(0.3)
        assert await browser.evaluate("window.opened") == [RUNS + shown["runs"][trial]]
        link = await browser.evaluate("document.querySelector('#scatter-1 .trial a').href")
        assert link == RUNS + shown["runs"][trial]

    looked_at(report, 1280, False, look)


def test_pointing_at_a_line_tells_the_trial(report: Path) -> None:
    shown = json.loads(re.findall(r'id="report-data">(.*?)</script>', report.read_text(), re.DOTALL)[0])
    name = next(name for name, figure in shown["figures"].items() if figure["form"] == "parallel")

    async def look(browser: Browser) -> None:
        await browser.evaluate(
            f"document.querySelector('#{name} .canvas').scrollIntoView({{block: 'center'}})"
        )
        await asyncio.sleep(0.5)
        find = f"document.querySelector('#{name} .canvas').getBoundingClientRect()"
        left, top, wide, high = await browser.evaluate(f"(b => [b.left, b.top, b.width, b.height])({find})")
        told = ""
        for step in range(150):
            await browser.point(left + wide * (0.1 + 0.005 * step), top + high * (0.35 + 0.003 * step))
            told = await browser.evaluate(f"document.querySelector('#{name} .trial').textContent")
            if "effective rank" in told:
                break
        assert any(told.startswith(words) for words in shown["trials"]), told
        assert "return" in told

    looked_at(report, 1280, False, look)


def test_the_page_can_be_read_before_its_script_is_ready_and_prints_its_pictures(report: Path) -> None:
    async def look(browser: Browser) -> None:
        assert await browser.evaluate("typeof window.Plotly") == "undefined"
        assert await browser.evaluate(
            "document.querySelector('#verdict .finding').getBoundingClientRect().top < 600"
        )
        await browser._ask("Emulation.setEmulatedMedia", {"media": "print"})
        assert await browser.evaluate("getComputedStyle(document.querySelector('.live')).display") == "none"
        assert await browser.evaluate("getComputedStyle(document.querySelector('.still')).display") == "grid"

    looked_at(report, 1280, False, look, live=False)
