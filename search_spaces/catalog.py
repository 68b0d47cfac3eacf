"""Studies by name, and from files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from search_spaces.errors import Problem, SpecificationError, did_you_mean, refusal
from search_spaces.study import Study


class NamedStudy(NamedTuple):
    """A study of the catalogue, not expanded: counting its trials would be slow for a list."""

    name: str
    title: str


def named_studies() -> list[NamedStudy]:
    """The studies that come with the package, by name."""
    from search_spaces.yaml_loader import load_yaml

    studies = []
    for name, file in sorted(_catalog().items()):
        content = load_yaml(file.read_text(encoding="utf-8"), f"studies/{file.name}")
        studies.append(NamedStudy(name, content["title"]))
    return studies


def load_study(name_or_path: str | Path) -> Study:
    """A study by its name in the catalogue, or from a YAML file.

    A text with a separator or one that ends in .yaml or .yml is a path.
    Raises `SpecificationError` with every problem found, naming the file.
    """
    text = str(name_or_path)
    if not isinstance(name_or_path, Path) and text in _catalog():
        file = _catalog()[text]
        return parse_study(file.read_text(encoding="utf-8"), f"studies/{file.name}")
    path = Path(text)
    if not isinstance(name_or_path, Path) and path.name == text and path.suffix not in (".yaml", ".yml"):
        known = ", ".join(_catalog())
        message = (
            f"unknown study{did_you_mean(text, _catalog()) or '.'} Named studies: {known}. "
            "A study of your own is a path to a .yaml file"
        )
        raise refusal((), message, text)
    try:
        return parse_study(path.read_bytes().decode("utf-8"), text)
    except UnicodeDecodeError as error:
        raise _unreadable(text, f"it is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise _unreadable(text, error.strerror or str(error)) from None


def parse_study(text: str, source: str) -> Study:
    """The study that YAML `text` holds; errors name it as `source`."""
    from search_spaces.yaml_loader import load_yaml

    study = Study.parse(load_yaml(text, source), source)
    study._text = text
    return study


def _unreadable(source: str, reason: str) -> SpecificationError:
    return SpecificationError([Problem((), f"cannot be read as a study: {reason}")], source)


@cache
def _catalog() -> dict[str, Traversable]:
    folder = files("search_spaces") / "studies"
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}
