#!/usr/bin/env python3
"""Take the README's pictures: MLflow's runs and charts of a sweep, and its report, in a headless Chromium.

    python docs/pictures/take.py --root sweeps --sweep demo --report sweeps/reports/demo.html

starts `sweep ui` on the root, photographs it, and stops it. Needs Chromium or Chrome (`apt-get install
chromium`, or name one with --browser).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def shoot(
    url_or_path: str | Path,
    out_png: str | Path,
    width: int = 1280,
    height: int = 800,
    wait: float = 3.0,
    *,
    dark: bool = False,
    scale: float = 1.0,
    browser: str | None = None,
) -> Path:
    """Photograph a page into a PNG of `width` x `height` CSS pixels, after `wait` seconds of its own time.

    A path is opened as a file; the seconds are the page's (its timers and requests run), so a page that
    loads data needs enough of them. Raises SystemExit with the remedy when there is no browser.
    """
    program = browser or next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit(
            f"no browser among {', '.join(BROWSERS)}: install one (apt-get install chromium), "
            "or name it with --browser"
        )
    text = str(url_or_path)
    url = text if re.match(r"[a-z]+://", text) else Path(text).resolve(strict=True).as_uri()
    out = Path(out_png).resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    # Chromium's window is never narrower than 500 pixels: for a phone's width a frame of that width is
    # photographed.
    with tempfile.TemporaryDirectory(prefix="pictures-") as profile:
        command = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={profile}",
            f"--window-size={max(width, 500)},{height}",
            f"--force-device-scale-factor={scale}",
            f"--virtual-time-budget={int(wait * 1000)}",
            f"--screenshot={out}",
            *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
            _framed(url, width, height, Path(profile)) if width < 500 else url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120 + wait, check=False)
    if not out.is_file() or not out.stat().st_size:
        raise SystemExit(
            f"{program} took no picture of {url} (exit {done.returncode}):\n{done.stderr[-2000:]}"
        )
    if width < 500:
        _crop(out, round(width * scale))
    return out


def mlflow_pages(base: str, experiment_id: str) -> dict[str, str]:
    """The pages of one experiment worth a picture: the table of runs, and the charts."""
    runs = f"{base}/#/experiments/{experiment_id}/runs"
    return {"runs": f"{runs}?compareRunsMode=TABLE", "charts": f"{runs}?compareRunsMode=CHART"}


def main() -> None:
    """Photograph the report, then MLflow's pages of the sweep."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, default=Path("sweeps"), help="the sweeps' root folder")
    options.add_argument("--sweep", default="demo", help="the sweep whose experiment is shown")
    options.add_argument("--report", type=Path, help="a report; without it the newest in the root's reports")
    options.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the PNG files")
    options.add_argument("--width", type=int, default=1400)
    options.add_argument("--height", type=int, default=900)
    options.add_argument("--wait", type=float, default=15.0, help="seconds a page is given to load")
    options.add_argument("--browser")
    given = options.parse_args()

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from sweep.mirror import mirror_status
    from sweep.ui import running

    size = {"width": given.width, "height": given.height, "browser": given.browser}
    reports = sorted((given.root / "reports").rglob("*.html"), key=lambda path: path.stat().st_mtime)
    report = given.report or (reports[-1] if reports else None)
    if report is not None:
        print(shoot(report, given.out / "report.png", wait=2.0, **size))
        print(shoot(report, given.out / "report-phone.png", wait=2.0, **{**size, "width": 390}))
    status = mirror_status(given.root, given.sweep)
    with running(given.root, port=0, reports_port=0) as (ui, _server):
        for name, page in mlflow_pages(ui.mlflow_url, status.experiment_id).items():
            print(shoot(page, given.out / f"mlflow-{name}.png", wait=given.wait, **size))


def _framed(url: str, width: int, height: int, folder: Path) -> str:
    page = folder / "frame.html"
    style = f"border:0;width:{width}px;height:{height}px"
    page.write_text(f"<body style='margin:0'><iframe src='{url}' style='{style}'></iframe>")
    return page.as_uri()


def _crop(picture: Path, width: int) -> None:
    from PIL import Image

    with Image.open(picture) as image:
        part = image.crop((0, 0, width, image.height))
    part.save(picture)


if __name__ == "__main__":
    main()
