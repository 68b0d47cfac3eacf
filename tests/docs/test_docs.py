"""The documentation says what the code does: checked wherever a machine can tell."""

import importlib.util
import re
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces import (
    Axis,
    Collect,
    DatasetRecipe,
    Design,
    Import,
    Protocol,
    Space,
    Study,
    Subset,
    TrialConfig,
    parse_study,
)
from sweep.store import METRICS, SPECTRA, TRIALS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LITERAL = type(typing.Literal["a"])


@cache
def script(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(page: str, heading: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {heading}"
    return found[1]


def rows(page: str, heading: str) -> dict[str, str]:
    """The table's rows by the names in their first cells."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("| `")]
    return {name: line for line in lines for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])}


def test_every_link_leads_somewhere_and_no_page_names_a_local_path() -> None:
    check = script("check_links")
    files = check.markdown_files(ROOT)
    assert ROOT / "README.md" in files
    assert [problem for file in files for problem in check.problems(file)] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("see [this](missing.md)", "there is no missing.md"),
        ("see [this](#nowhere)", "no heading gives #nowhere"),
        ('<img src="gone.png">', "there is no gone.png"),
        ("written to " + "/" + "home/me/sweeps", "a path of one machine"),
        ("# A b-c\n[this](#a-b-c) and [web](https://example.org/x) and `[code](nothing.md)`", None),
    ],
)
def test_the_link_check_finds_what_is_wrong_and_nothing_else(
    tmp_path: Path, text: str, says: str | None
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    found = list(script("check_links").problems(page))
    assert found == [] if says is None else len(found) == 1 and says in found[0]


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    make = script("make_cli_reference")
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_cli_reference.py"


def studies() -> list[Any]:
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(re.finditer(r"<!-- study.*?-->\n```yaml\n(.*?)```", text, re.DOTALL)):
            found.append(pytest.param(match[1], id=f"{page.stem}-{number}"))
    return found


@pytest.mark.parametrize("text", studies())
def test_studies_of_the_pages_are_accepted(text: str) -> None:
    assert parse_study(text, "page").trials()


def test_the_tutorials_study_has_the_trials_that_the_tutorial_says() -> None:
    text = next(param.values[0] for param in studies() if param.id == "tutorial-0")
    trials = parse_study(text, "tutorial").trials()
    assert len(trials) == 30
    assert sum(len(trial.spaces) == 2 for trial in trials) == 6
    assert len({trial.config.shape_key() for trial in trials}) == 4
    assert "trials  30 in 4 packs; 6 are in more than one space" in (DOCS / "tutorial.md").read_text()


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Study", Study),
        ("Spaces", Space),
        ("Axes", Axis),
        ("Design", Design),
        ("Hyperparameters", TrialConfig),
        ("Protocol", Protocol),
        ("Datasets", DatasetRecipe),
        ("Collecting", Collect),
        ("Importing", Import),
        ("Subsets", Subset),
    ],
)
def test_every_key_of_a_study_is_in_the_reference_with_its_choices_and_default(
    heading: str, model: Any
) -> None:
    table = rows("reference/study-yaml.md", heading)
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert set(table) == set(fields)
    for name, field in fields.items():
        choices = typing.get_args(field.annotation) if isinstance(field.annotation, LITERAL) else ()
        for choice in choices:
            assert f"`{choice}`" in table[name], f"{name} can be {choice}"
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert float(table[name].split(" | ")[2].replace(",", "")) == field.default, name


def test_every_column_of_the_store_is_in_the_reference() -> None:
    for heading, columns in (("`trials`", TRIALS), ("`metrics`", METRICS), ("`spectra`", SPECTRA)):
        assert set(rows("reference/store.md", heading)) == set(columns)


def test_the_readme_begins_with_the_two_commands_and_two_pictures_and_nothing_else() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("\n---\n")[0]
    commands = re.search(r"```bash\n(.*?)```", first, re.DOTALL)
    assert commands is not None
    assert re.findall(r"^(\S+ \S+)", commands[1], re.MULTILINE) == ["make demo", "make test"]
    assert len(re.findall(r"<img ", first)) == 2
    assert "##" not in first


def test_pictures_are_small() -> None:
    pictures = list((DOCS / "pictures").glob("*.png"))
    assert len(pictures) >= 4
    assert [picture.name for picture in pictures if picture.stat().st_size > 300_000] == []


def test_the_changelog_has_the_version_that_is_installed() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_decision_is_listed_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in (DOCS / "decisions").glob("*.md"))
    assert [name for name in pages if f"(decisions/{name})" not in index] == []
    assert [name[:3] for name in pages] == [f"{number:03}" for number in range(1, len(pages) + 1)]


def test_python_on_the_pages_at_least_parses() -> None:
    for page in sorted(DOCS.rglob("*.md")):
        for match in re.finditer(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            compile(match[1], str(page), "exec")
        for match in re.finditer(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            yaml.safe_load(match[1])
