"""`sweep data envs`: what there is to learn in, and what each family of it needs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import WIDE, Json, console, print_json
from sweep.errors import UsageError

if TYPE_CHECKING:
    from agents.environments import EnvironmentSpec, Family, ScoreReference

__all__ = ["envs"]


def envs(
    family: Annotated[
        str | None,
        typer.Argument(
            metavar="FAMILY", help="Show the environments of one family, or those whose ids begin so."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The environments, by family: how many, installed or not, what installs them.

    With FAMILY every id of it: what an agent sees and does, and the scale that its scores are put on. Nothing is
    started.

    Examples:

    - `sweep data envs`

    - `sweep data envs gridworld`

    - `sweep data envs bsuite/memory_len --json`
    """
    if family is not None:
        _show_environments(family, as_json)
    else:
        _show_families(as_json)


def _show_families(as_json: bool) -> None:
    from agents.environments import FAMILIES

    rows = [_family_row(one) for one in FAMILIES]
    if as_json:
        print_json(rows)
        return
    wide = console.width >= WIDE
    table = _table("family", "ids", "installed", "example", *(["what"] if wide else []))
    for row in rows:
        state = "yes" if row["installed"] else "[yellow]no[/yellow]"
        if row["other_versions"]:
            state = "[yellow]other version[/yellow]"
        title = [escape(row["title"])] if wide else []
        table.add_row(row["family"], str(row["environments"]), state, row["example"], *title)
    console.print(table)
    if not wide:
        console.print()
        for row in rows:
            _remark(f"{row['family']}: {row['title']}")
    for row in rows:
        if not row["installed"] and row["install"]:
            _remark(f"{row['family']} is installed by: {row['install']}")
        elif row["other_versions"]:
            found = ", ".join(row["other_versions"])
            _remark(f"{row['family']} is not proven to work with {found}; what is proven: {row['install']}")
        if row["system"]:
            _remark(f"{row['family']} {'also ' if row['install'] else ''}needs {row['system']}")
    console.print("\nnext: sweep data envs FAMILY, for its environments", highlight=False)


def _show_environments(beginning: str, as_json: bool) -> None:
    from agents.environments import FAMILIES

    wanted = beginning.rstrip("/")
    found = [
        (one, one.describe(env_id))
        for one in FAMILIES
        for env_id in one.env_ids()
        if env_id == wanted or env_id.startswith(f"{wanted}/")
    ]
    if not found:
        names = [one.name for one in FAMILIES]
        near = difflib.get_close_matches(wanted.split("/")[0], names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"no environment begins with {beginning!r}. {hint}Families: {', '.join(names)}; or the beginning of an "
            "id, such as bsuite/memory_len."
        )
    if as_json:
        print_json([_environment_row(one, spec) for one, spec in found])
        return
    table = _table("environment", "sees", "actions", "0 is", "1 is")
    for _, spec in found:
        scale = spec.score_reference
        table.add_row(
            spec.env_id,
            _seen(spec),
            _actions(spec),
            "" if scale is None else f"{scale.low_name} {scale.low:g}",
            "" if scale is None else f"{scale.high_name} {scale.high:g}",
        )
    console.print(table)
    scales = {scale.source: None for _, spec in found for scale in _scales(spec)}
    for source in scales:
        _remark(f"scores: {source}")
    others = {scale.scale_name: None for _, spec in found for scale in spec.other_score_references}
    for name in others:
        _remark(f"also {name}: --json has the scores")
    if any(one.tabular for one, _ in found):
        _remark("true values are known: evaluations report value_error")
    for one in dict.fromkeys(one for one, _ in found):
        if not one.installed():
            _remark(f"not installed; {one.install_command or f'needs {one.system}'}")


def _family_row(family: Family) -> dict[str, Any]:
    return {
        "family": family.name,
        "title": family.title,
        "environments": len(family.env_ids()),
        "example": family.example,
        "installed": family.installed(),
        "other_versions": family.other_versions(),
        "install": family.install_command,
        "extra": family.extra,
        "system": family.system,
        "true_values": family.tabular is not None,
    }


def _environment_row(family: Family, spec: EnvironmentSpec) -> dict[str, Any]:
    return {
        "env": spec.env_id,
        "family": family.name,
        "installed": family.installed(),
        "observation_shape": spec.observation_shape,
        "observation_dtype": spec.observation_dtype,
        "frame_stack": spec.frame_stack,
        "num_actions": None if spec.continuous else spec.num_actions,
        "action_shape": spec.action_shape if spec.continuous else None,
        "action_range": [spec.action_low, spec.action_high] if spec.continuous else None,
        "extras": {name: one.model_dump() for name, one in spec.extras.items()},
        "scores": [{"scale": scale.scale_name, **scale.model_dump()} for scale in _scales(spec)],
        "true_values": family.tabular is not None,
    }


def _scales(spec: EnvironmentSpec) -> list[ScoreReference]:
    """Its scales, that of `return_normalized` first."""
    first = [] if spec.score_reference is None else [spec.score_reference]
    return [*first, *spec.other_score_references]


def _seen(spec: EnvironmentSpec) -> str:
    extras = "".join(f" + {name}" for name in spec.extras)
    return f"{spec.observation_dtype} {' × '.join(map(str, spec.observation_shape))}{extras}"


def _actions(spec: EnvironmentSpec) -> str:
    if not spec.continuous:
        return str(spec.num_actions)
    size = " × ".join(map(str, spec.action_shape))
    return f"{size} in \\[{spec.action_low:g}, {spec.action_high:g}]"


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        number = header in ("ids", "actions")
        # Ids are to be copied whole; what explains them can be folded.
        whole = header in ("family", "example", "environment")
        table.add_column(header, justify="right" if number else "left", overflow="fold", no_wrap=whole)
    return table


def _remark(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
