"""YAML as people write it: the safe subset, numbers by the rules of YAML 1.2, no key twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

from search_spaces.errors import Problem, SpecificationError


def load_yaml(text: str, source: str) -> Any:
    """The content of `text`: mappings with text as keys, lists, text, numbers, booleans and null.

    Raises `SpecificationError` naming `source` and the line, for bad syntax, a key that is given twice or
    is not text, and tags that make objects.
    """
    problems: list[Problem] = []
    content = None
    try:
        loader = _Loader(text)
        problems = loader.problems
        content = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problems.append(Problem((), f"{where}{error.problem or error.context}"))
    except RecursionError:
        problems.append(Problem((), "is nested too deeply"))
    except (yaml.YAMLError, ValueError) as error:
        problems.append(Problem((), f"cannot be read as YAML: {' '.join(str(error).split())}"))
    if problems:
        raise SpecificationError(problems, source)
    return content


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[Problem] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                continue
            if key_node.tag != _TEXT:
                message = f"line {line}: a key must be text: put it in quotes"
                self.problems.append(Problem((), message, key_node.value))
            elif key_node.value in lines:
                message = (
                    f"line {line}: this key was given in line {lines[key_node.value]} already: remove one"
                )
                self.problems.append(Problem((), message, key_node.value))
            else:
                lines[key_node.value] = line
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: Any) -> int:
        return int(self.construct_scalar(node))


_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"

# PyYAML follows YAML 1.1, where 1e-4 is text, `on` is true, 010 is 8 and 1:30 is 90.
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _begins in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_begins)
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
