"""Options of commands that run sweeps: how much at once, for how long, and who hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sweep.budget import Budget

__all__ = ["MaxGpuHours", "MaxHours", "Notify", "StallMinutes", "Workers", "budget_of"]

Workers = Annotated[
    int | None,
    typer.Option(
        "--max-concurrent",
        "--workers",
        min=1,
        metavar="N",
        help="Packs at once; both names are one option. [default: one a core, 4 on a card; on a cluster what "
        "fits]",
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        metavar="HOURS",
        help="Stop after so long by the clock; each command counts anew. What runs then is kept.",
    ),
]
MaxGpuHours = Annotated[
    float | None,
    typer.Option(
        metavar="HOURS",
        help="Stop when the sweep has used so many hours of whole cards, all its runs together.",
    ),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="URL|env:NAME",
        help="Send a message there when the sweep ends or stalls; repeatable. Any URL of apprise, json://… for a "
        "webhook. `ps` and Ray's dashboard show the value: name a variable with env:NAME instead. "
        "[default: $SWEEP_NOTIFY]",
    ),
]
StallMinutes = Annotated[
    float, typer.Option(min=0.1, metavar="MINUTES", help="Say so when no pack has got on for so long.")
]


def budget_of(max_hours: float | None, max_gpu_hours: float | None) -> Budget:
    """The budget that two options ask for. Raises UsageError."""
    from sweep.budget import Budget

    return Budget(max_hours, max_gpu_hours)
