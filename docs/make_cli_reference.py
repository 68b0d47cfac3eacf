#!/usr/bin/env python3
"""Write docs/reference/cli.md from the commands themselves.

python docs/make_cli_reference.py          writes the page
python docs/make_cli_reference.py --check  exits 1 where the page is not what the commands say
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from sweep.cli.app import build_app

PAGE = Path(__file__).resolve().parent / "reference" / "cli.md"

_HEAD = """# Command line

Made from the commands by `python docs/make_cli_reference.py`; `make test` fails where it is out of date.

Every command ends with 0 when it is done, 1 when it failed, and 2 when it was asked for wrongly: an unknown
option, a study that is refused, a sweep that does not exist. With 2, nothing has been started.

`STUDY` is a name from `sweep list` or a path to a YAML file ([its keys](study-yaml.md)); `NAME` is a sweep's
name, the study's own unless `--name` gave another.
"""


def main() -> None:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{PAGE.name} is out of date: run python docs/make_cli_reference.py")
        return
    PAGE.write_text(text, encoding="utf-8")


def page() -> str:
    """The whole page."""
    top = typer.main.get_command(build_app())
    commands = sorted(_commands(top, "sweep"), key=lambda one: one[0])
    index = ["| Command | Does |", "|---|---|"]
    index += [f"| [`{path}`](#{path.replace(' ', '-')}) | {_first_sentence(c)} |" for path, c in commands]
    return "\n".join([_HEAD, *index, "", *(_section(path, command) for path, command in commands)])


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from _commands(inner, f"{path} {name}")
        elif not inner.hidden:
            yield f"{path} {name}", inner


def _section(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([path, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {path}", "", "```text", usage, "```", "", _text(command), ""]
    if arguments or options:
        lines += ["| Argument or option | Takes | Meaning |", "|---|---|---|"]
        lines += [_row(f"`{_argument(p)}`", p) for p in arguments]
        lines += [_row(" ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts)), p) for p in options]
        lines.append("")
    return "\n".join(lines)


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("[]{}")


def _usage(parameter: Any) -> str:
    name = _argument(parameter)
    return name if parameter.required else f"[{name}]"


def _row(name: str, parameter: Any) -> str:
    meaning = re.sub(r"\s*\[default: [^\]]*\]$", "", parameter.help or "")
    default = re.search(r"\[default: ([^\]]*)\]$", parameter.help or "")
    if parameter.required and parameter.opts[0].startswith("-"):
        meaning += " Required."
    cells = (name, _kind(parameter), meaning + _default(parameter, default[1] if default else None))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "switch"
    annotation = parameter.type_descriptor.annotation
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{choice.value}`" for choice in annotation)
    if "|" in str(parameter.metavar):
        return " or ".join(f"`{choice}`" for choice in parameter.metavar.split("|"))
    word = {int: "whole number", float: "number"}.get(annotation, "")
    low, high = parameter.min, parameter.max
    if low is not None:
        word += f", {low} to {high}" if high is not None else f", at least {low}"
    return word or (
        f"`{parameter.metavar}`" if parameter.metavar and parameter.opts[0].startswith("-") else "text"
    )


def _default(parameter: Any, told: str | None) -> str:
    value = parameter.default
    if told is not None:
        return f" Default: {told}."
    if parameter.required or value is None or callable(value) or "sentinel" in type(value).__name__.lower():
        return ""
    if getattr(parameter, "is_flag", False):
        name = (parameter.opts if value else parameter.secondary_opts or [None])[0]
        return f" Default: `{name}`." if parameter.secondary_opts else ""
    return f" Default: `{getattr(value, 'value', value)}`." if value not in ((), []) else ""


def _text(command: Any) -> str:
    # The terminal's renderer wants a blank line between the items of a list.
    return re.sub(r"\n\n(?=- )", "\n", inspect.cleandoc(command.help or "")).replace(":\n- ", ":\n\n- ")


def _first_sentence(command: Any) -> str:
    first = _text(command).split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.!])\s", first)[0]


if __name__ == "__main__":
    main()
