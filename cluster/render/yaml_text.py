"""YAML as it is written into files: in the order it was built, long texts as blocks, a comment on top."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

__all__ = ["commented", "yaml_text"]


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Lists indented under their key, as editors and linters of YAML expect.
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        # Two groups may share a dictionary here; nobody wants to read `*id001` there.
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(*documents: Any, comment: str = "") -> str:
    """The documents as one YAML text under the comment."""
    body = "---\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110) for one in documents
    )
    return f"{commented(comment)}{body}"


def commented(text: str) -> str:
    """The text as a comment: paragraphs stay apart, and so do lines, which are wrapped where they are long."""
    lines: list[str] = []
    for paragraph in textwrap.dedent(text).strip().split("\n\n"):
        if lines:
            lines.append("#")
        for line in paragraph.splitlines():
            lines.extend(f"# {part}" for part in textwrap.wrap(line, 108))
    return "\n".join(lines) + "\n" if text.strip() else ""
