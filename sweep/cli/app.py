"""The commands, and how errors become exit codes: 0 done, 1 failed, 2 a usage or specification error."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version

import typer
from rich.console import Console

from agents.errors import AgentError
from search_spaces import SpecificationError
from sweep.cli import analyze, data, diff, power, results, retry, running, standing, studies, tables
from sweep.cli.common import AROUND
from sweep.errors import SweepError

__all__ = ["build_app", "main"]


def build_app() -> typer.Typer:
    """All commands of this distribution, and those that the `rankscope.commands` entry points add."""
    app = typer.Typer(
        name="sweep",
        help=(
            "Sweeps of deep-RL agents: run a study, watch it, and see what really predicts the return.\n\n"
            "First steps: `sweep list`, then `sweep show demo`, `sweep run demo`, `sweep report demo`. "
            "`sweep COMMAND --help` has options and examples."
        ),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        epilog="Exit status: 0 done, 1 failed, 2 asked for wrongly (nothing was started).",
    )
    app.callback()(_top)
    for module in (studies, power, running, retry, results, tables, diff, analyze, standing):
        module.register(app)
    app.add_typer(data.app, name="data", rich_help_panel=AROUND)
    for extension in entry_points(group="rankscope.commands"):
        extension.load()(app)
    return app


def main() -> None:
    """Entry point of the command `sweep`."""
    try:
        build_app()()
    except SpecificationError as error:
        _fail(str(error), 2)
    except SweepError as error:
        _fail(str(error), error.exit_code)
    except AgentError as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    Console(stderr=True).print(
        f"[bold red]error:[/bold red] {_escaped(message)}", highlight=False, soft_wrap=True
    )
    sys.exit(code)


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(message)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rankscope {version('rankscope')}")
        raise typer.Exit


def _top(
    _version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
    ),
) -> None:
    pass
