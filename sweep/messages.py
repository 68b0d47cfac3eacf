"""What is said to people who are not there: how a sweep ended, that it stands still, that it broke off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sweep.notify import Kind

if TYPE_CHECKING:
    from sweep.run import RunSummary

__all__ = ["broken_off", "ended", "stalled"]

_MOST_FAILURES = 5


def ended(summary: RunSummary, root: Path, tracking_uri: str | None) -> tuple[str, str, Kind]:
    """Title, text and kind of the message that a sweep has ended."""
    failed = len(summary.failures)
    if summary.complete:
        state, kind = "finished", "success"
    elif summary.stopped is not None:
        state, kind = "stopped", "warning"
    elif not failed:
        state, kind = "ended, with trials that are still planned", "success"
    else:
        state, kind = f"ended with {failed} failure{'' if failed == 1 else 's'}", "failure"
    counts = ", ".join(f"{count} {status}" for status, count in sorted(summary.trials.items()))
    lines = [f"{counts or 'no trials yet'}; {_duration(summary.seconds)}"]
    if summary.stopped is not None:
        lines.append(f"{summary.stopped}. What is planned goes on with the same command.")
    lines += [f"failed: {pack}: {reason}" for pack, reason in list(summary.failures.items())[:_MOST_FAILURES]]
    if failed > _MOST_FAILURES:
        lines.append(f"and {failed - _MOST_FAILURES} more")
    if failed:
        lines.append(f"try again: sweep retry {summary.name} --failed --root {root}")
    lines.append(f"look: sweep report {summary.name} --root {root}")
    if tracking_uri is not None and tracking_uri.startswith("http"):
        lines.append(f"MLflow: {_without_user(tracking_uri)}")
    return f"sweep {summary.name}: {state}", "\n".join(lines), kind  # type: ignore[return-value]


def stalled(name: str, root: Path, sentence: str) -> tuple[str, str, Kind]:
    """The message that a sweep stands still."""
    return f"sweep {name}: stalled", f"{sentence}\nlook: sweep status {name} --root {root}", "warning"


def broken_off(name: str, error: BaseException) -> tuple[str, str, Kind]:
    """The message that the command that ran a sweep is ending by `error`."""
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{error}" or type(error).__name__
    return (
        f"sweep {name}: broken off",
        f"{reason}\nWhat was committed is kept; the same command goes on.",
        "failure",
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _without_user(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
