"""The report for a paper: PDF figures, LaTeX tables, and a document that compiles."""

import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from sweep.report import build, write_report
from sweep.report.figures.palette import PAGE, PAPER
from sweep.report.page import Download, PageTable
from sweep.report.paper import latex_table
from sweep.report.sections import SECTIONS


@pytest.fixture(scope="module")
def paper(finished_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    write_report(finished_root, "demo", folder / "demo.html", draws=200, figures=folder / "figures")
    return folder


def test_every_figure_and_table_of_the_page_is_a_file(paper: Path) -> None:
    page = (paper / "demo.html").read_text()
    figures = set(re.findall(r'<figure class="\w+" id="([a-z0-9-]+)"', page))
    assert {path.stem for path in (paper / "figures").glob("*.pdf")} == figures
    tables = [path for path in (paper / "figures").glob("*.tex") if path.stem != "report"]
    assert len(tables) == page.count("<table>")
    document = (paper / "figures" / "report.tex").read_text()
    for name in [*figures, *(path.stem for path in tables)]:
        assert f"{{{name}}}" in document


def test_figures_have_their_fonts_and_the_colors_of_paper(paper: Path) -> None:
    stand_ins = {rgb(color) for color in PAGE.values()}
    inks: set[str] = set()
    for path in (paper / "figures").glob("*.pdf"):
        content = path.read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        assert b"CreationDate" not in content
        for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
            try:
                drawn = zlib.decompress(stream).decode("latin-1")
            except zlib.error:
                continue
            inks |= set(re.findall(r"((?:[\d.]+ ){2}[\d.]+) (?:rg|RG)\b", drawn))
    assert not inks & stand_ins
    assert rgb(PAPER["category-0"]) in inks


def rgb(color: str) -> str:
    """As a PDF writes it: three shares, without the zeros at their ends."""
    shares = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return " ".join(f"{share:.10f}".rstrip("0").rstrip(".") for share in shares)


def test_the_same_store_gives_the_same_files(
    small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SECTIONS", SECTIONS[1:4])
    for folder in ("once", "again"):
        write_report(small_root, "demo", tmp_path / "demo.html", draws=200, figures=tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert {Path(name).suffix for name in names} == {".pdf", ".tex"}
    for name in names:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_document_compiles(paper: Path, tmp_path: Path) -> None:
    for path in (paper / "figures").iterdir():
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert "Overfull" not in re.sub(r"Overfull \\hbox \((?:\d|1\d)\.", "", log), (
        "wider than the page by 20 pt or more"
    )
    assert (tmp_path / "report.pdf").stat().st_size > 10_000


def test_a_long_table_breaks_across_pages_and_text_is_escaped() -> None:
    rows = tuple((f"50 % & {n}", "\u22120.12 [\u22120.30, 0.06]") for n in range(60))
    text = latex_table(PageTable(("Name_x", "Value"), rows, (False, True), Download("", "")))
    assert r"\begin{longtable}{lr}" in text
    assert r"50 \% \& 3 & $-$0.12 {[}$-$0.30, 0.06{]} \\" in text
    assert r"Name\_x & Value \\" in text
    assert text.isascii()
