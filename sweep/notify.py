"""Messages to people when a sweep ends or stalls: to a chat, by mail, to a webhook, through apprise.

The addresses hold secrets. They are never written or said: an address is named by its number and its scheme.
Sending happens in a thread of its own, and neither delays nor fails a sweep.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from sweep.errors import UsageError
from sweep.settings import notify_addresses, value_of

__all__ = ["Kind", "Messenger"]

Kind = Literal["info", "success", "warning", "failure"]

_RETRY_SECONDS = (2.0, 8.0)
_MOST_CHARACTERS = 4000


class Messenger:
    """Sends messages to `addresses`: URLs of apprise, `env:NAME` for one that an environment variable holds.

    None is what `$SWEEP_NOTIFY` holds. `say` is told, in a line without secrets, what could not be sent. Raises
    UsageError for an address that apprise does not know, and where apprise is not installed.
    """

    def __init__(self, addresses: Sequence[str], say: Callable[[str], None]) -> None:
        self._say = say
        self._targets = _targets(list(addresses) or notify_addresses())
        self._waiting: queue.Queue[tuple[str, str, Kind] | None] = queue.Queue()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweep-notify", daemon=True)
        if self._targets:
            self._thread.start()

    def __bool__(self) -> bool:
        return bool(self._targets)

    def send(self, title: str, body: str, kind: Kind = "info") -> None:
        """Send soon; returns at once."""
        if self._targets:
            self._waiting.put((title, body[:_MOST_CHARACTERS], kind))

    def close(self, seconds: float = 12.0) -> None:
        """Wait for what is being sent, `seconds` at most."""
        if not self._thread.is_alive():
            return
        self._waiting.put(None)
        self._thread.join(seconds / 2)
        # What is tried again is now tried at once or not at all.
        self._hurry.set()
        self._thread.join(seconds / 2)
        if self._thread.is_alive():
            self._say("--notify: a message was still being sent when the sweep ended, and may be lost.")

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            for label, target in self._targets:
                if not self._sent(target, *message):
                    self._say(
                        f"--notify: {label} did not take the message {message[0]!r}. Check the address and whether "
                        "this machine reaches it; the sweep is not affected."
                    )

    def _sent(self, target: Any, title: str, body: str, kind: Kind) -> bool:
        for pause in (0.0, *_RETRY_SECONDS):
            if pause and self._hurry.wait(pause):
                return False
            try:
                if target.notify(title=title, body=body, notify_type=kind, body_format="text"):
                    return True
            except Exception:
                # Whatever a service's plugin does, it must not reach the sweep, nor its words, which may hold
                # the address, the log.
                continue
        return False


def _targets(addresses: Sequence[str]) -> list[tuple[str, Any]]:
    """For each address a name without secrets, and who sends to it."""
    if not addresses:
        return []
    try:
        import apprise
    except ImportError as error:
        raise UsageError(
            "--notify needs apprise, which is not installed: pip install 'rankscope[notify]'."
        ) from error
    # Their lines hold addresses, and the secrets in them.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    found = []
    for number, given in enumerate(addresses, start=1):
        address, where = _resolved(given, number)
        target = apprise.Apprise()
        if not target.add(address):
            raise UsageError(
                f"--notify: {where} is no address that apprise can send to. It must be a URL as in "
                "https://appriseit.com/services/, such as slack://…, mailto://… or json://host:port/path for a webhook."
            )
        found.append((where, target))
    return found


def _resolved(given: str, number: int) -> tuple[str, str]:
    """The address, and how it may be named."""
    if not given.startswith("env:"):
        scheme = re.match(r"[a-z0-9.+-]{1,20}(?=://)", given, re.IGNORECASE)
        return given, f"address {number} ({scheme[0] if scheme else 'without a scheme'}://…)"
    name = given.removeprefix("env:")
    value = value_of(name)
    if not value:
        raise UsageError(f"--notify {given}: the environment variable {name!r} is not set or empty; set it.")
    return value, f"the address in ${name}"
