"""Texts with gaps, for what is no YAML: scripts and Dockerfiles."""

from __future__ import annotations

from typing import Any

__all__ = ["fill"]


def fill(template: str, **values: Any) -> str:
    """A template of this folder with its gaps filled; a gap without a value is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cluster.render", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Scripts have braces and hashes of their own; none of these outputs is HTML.
        autoescape=False,
    )
    return environment.get_template(template).render(**values)
