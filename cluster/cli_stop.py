"""`sweep stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.cli_logs import Address
from sweep.cli.common import RUN, Root, SweepName, console

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("stop", rich_help_panel=RUN)(stop)


def stop(
    name: SweepName,
    root: Root,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Do not wait for checkpoints: what was trained since the last ones is lost."
        ),
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until all packs have ended.")
    ] = 600.0,
    address: Address = None,
) -> None:
    """Stop a sweep, wherever it runs: packs write a checkpoint and end, what is left stays planned.

    The request goes through the store, so this machine must see the root; with `--now --address` it need not.
    `sweep run` or `sweep submit` with the same study goes on from there.

    Examples:

    - `sweep stop demo`

    - `sweep stop demo --root s3://bucket/sweeps`

    - `sweep stop demo --now --address http://127.0.0.1:8265`
    """
    from cluster.stopping import ask_to_stop, end_now, wait_until_stopped
    from sweep.errors import SweepError, UsageError
    from sweep.store import Store

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if now:
        say(f"ended {end_now(root, name, address)}; the last checkpoints are kept")
        return
    try:
        store = Store(root).sweep(name)
    except UsageError as error:
        if address is None:
            raise
        raise UsageError(
            f"sweep {name!r} is not under {root} as this machine sees it, and a sweep is asked to stop through its "
            "root. Give its --root, or `sweep stop --now --address URL`, which ends the job without waiting for "
            "checkpoints."
        ) from error
    ask_to_stop(store)
    if not wait_until_stopped(store, say, wait):
        raise SweepError(
            f"sweep {name!r} still runs after {wait:g} s. It has been asked, and `sweep status {name}` shows how far "
            "its packs are; `sweep stop --now` does not wait for their checkpoints."
        )
    say(f"sweep {name} has stopped; the same `sweep run` or `sweep submit` goes on from there")
