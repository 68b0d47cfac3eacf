#!/usr/bin/env python3
"""Take the README's pictures: a sweep's report, and MLflow's runs and charts of it, in a headless Chromium.

    python docs/pictures/take.py --root sweeps --sweep demo

starts `sweep ui` on the root, photographs the pages, and stops it. Needs Chromium or Chrome (`apt-get install
chromium`, or name one with --browser).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from browser import Browser, program  # noqa: E402

from sweep.mirror import mirror_status  # noqa: E402
from sweep.ui import running  # noqa: E402

COLUMNS = (
    *("params.`activation`", "params.`learning_rate`", "params.`batch_size`"),
    *("metrics.`return_mean`", "metrics.`srank`", "metrics.`dead_units`"),
)

# Figures that answer the pointer take the place of pictures a moment after the page is there.
_ALIVE = (
    "document.readyState == 'complete' && [...document.querySelectorAll('[data-live]')]"
    ".filter(e => e.parentElement.getBoundingClientRect().top < innerHeight).every(e => e.redraw)"
)


def main() -> None:
    """Photograph the report at a desk's and a phone's width, then MLflow's pages of the sweep."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, default=Path("sweeps"), help="the sweeps' root folder")
    options.add_argument("--sweep", default="demo", help="the sweep that is shown")
    options.add_argument("--out", type=Path, default=HERE, help="folder for the PNG files")
    options.add_argument("--width", type=int, default=1280)
    options.add_argument("--height", type=int, default=860)
    options.add_argument("--browser", help="a Chromium or Chrome")
    given = options.parse_args()
    program(given.browser)
    asyncio.run(_take(given))


async def _take(given: argparse.Namespace) -> None:
    report = given.root / "reports" / f"{given.sweep}.html"
    if not report.is_file():
        raise SystemExit(
            f"{report} does not exist: make it with `sweep report {given.sweep} --root {given.root}`"
        )
    # Tall enough for the verdict and the first figure, at a size that a README can show.
    for name, width, height, scale in (
        ("report", given.width, 1960, 0.7),
        ("report-phone", 390, given.height, 1.0),
    ):
        async with Browser(width, height, scale=scale, wanted=given.browser) as browser:
            await browser.open(report.resolve().as_uri(), _ALIVE)
            print(await browser.shoot(given.out / f"{name}.png", settle=1.0))
    experiment = mirror_status(given.root, given.sweep).experiment_id
    if experiment is None:
        raise SystemExit(
            f"MLflow does not have {given.sweep}: `sweep sync {given.sweep} --root {given.root}`"
        )
    with running(given.root, port=0, reports_port=0) as (ui, _):
        for name, query, view in _mlflow_pages():
            async with Browser(given.width, given.height, wanted=given.browser) as browser:
                await browser.remember(_looks(experiment, view))
                url = f"{ui.mlflow_url}/#/experiments/{experiment}/runs?{query}"
                await browser.open(url, "document.body.innerText.includes('matching runs')")
                # Plotly shows its tool bar for good where there is no mouse to leave the chart.
                await browser.evaluate(
                    "document.head.insertAdjacentHTML('beforeend', '<style>.modebar {display: none}</style>')"
                )
                print(await browser.shoot(given.out / f"{name}.png", settle=6.0))


def _mlflow_pages() -> list[tuple[str, str, dict[str, object]]]:
    """Name, query and view of each page: the runs of a space by their return, and curves by configuration."""

    def query(mode: str, runs: str, order: str) -> str:
        found = {"compareRunsMode": mode, "searchFilter": runs, "orderByKey": order, "orderByAsc": "false"}
        return "&".join(f"{key}={quote(value)}" for key, value in found.items())

    by_configuration = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "rankscope.configuration"}],
    }
    return [
        (
            "mlflow-runs",
            query("TABLE", "tags.`rankscope.spaces` LIKE '%broad%'", "metrics.`return_mean`"),
            {},
        ),
        (
            "mlflow-charts",
            query("CHART", "tags.`rankscope.spaces` LIKE '%narrow%'", "params.`learning_rate`"),
            {"groupBy": by_configuration},
        ),
    ]


def _looks(experiment: str, view: dict[str, object]) -> dict[str, object]:
    """What MLflow's page keeps in the browser: which columns are shown, no panel of its assistant."""
    kept = {
        "selectedColumns": list(COLUMNS),
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": False,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **view,
    }
    return {
        f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState': kept,
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
        "mlflow.workflowType_v1": "machine_learning",
    }


if __name__ == "__main__":
    main()
