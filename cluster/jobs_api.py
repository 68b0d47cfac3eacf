"""A connection to a cluster's Jobs API, whose errors say what is wrong and what to do."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweep.errors import SweepError, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["ENDED", "Unreachable", "asked", "check_address", "connected", "submit"]

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
"""What a job is when it is over."""

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 120.0
"""How long a request may hear nothing."""
_START_SECONDS = 60.0
_POLL_SECONDS = 1.0


class Unreachable(SweepError):
    """Nothing answers at the address, or it went away: the same may work a moment later."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[JobSubmissionClient]:
    """A client of the Jobs API, whose errors inside the block become SweepErrors that name the address.

    To a cluster on this machine, or that is reached through it, this user's token is sent without being asked for.
    """
    check_address(address)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    told = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk")
    for module in (*told, "_private.authentication", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{module}").setLevel(logging.ERROR)
    if urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1"):
        from ray._private.authentication import authentication_token_setup

        authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)

    class Client(JobSubmissionClient):  # type: ignore[misc]  # Ray's has no types
        """Ray's own waits for an answer for ever."""

        def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": _ANSWER_SECONDS, **more})

    try:
        yield Client(address)
    except SweepError:
        raise
    except AuthenticationError as error:
        raise SweepError(
            f"--address {address!r}: the cluster wants its token. Put it into ~/.ray/auth_token (or into "
            "$RAY_AUTH_TOKEN), set RAY_AUTH_MODE=token, and give the same command again."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        # Ray says with a RuntimeError both that a server has refused and that it closed a stream.
        gone = isinstance(error, OSError) or "closed unexpectedly" in reason or "WebSocket error" in reason
        raise (Unreachable if gone else SweepError)(
            f"--address {address!r}: the Jobs API there refuses or went away: {reason}. Look at the cluster's "
            "dashboard, then give the same command again."
        ) from error


def asked(client: JobSubmissionClient, path: str, **query: Any) -> Any:
    """What the dashboard answers to a GET of `path`; None where it refuses. Call it inside `connected`."""
    from urllib.parse import urlencode

    # The client's own request: it alone sends the token as the cluster wants it.
    answer = client._do_request("GET", f"{path}?{urlencode(query)}" if query else path)
    if answer.status_code != 200:
        return None
    return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.text


def submit(client: JobSubmissionClient, **job: Any) -> None:
    """Submit a job; a cluster that still starts is waited for. Call it inside `connected`."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.submit_job(**job)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def check_address(address: str) -> None:
    """Refuse what is no URL, and say at once where nothing answers: Ray's client would wait for minutes."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise UsageError(
            f"--address {address!r}: it must be the URL of a cluster's dashboard, such as http://127.0.0.1:8265. "
            "(`sweep run --address` takes host:port of the cluster itself.)"
        )
    if parts.username or parts.password:
        raise UsageError(
            "--address: it holds a user or password, which the record of the job would keep. Leave them out; a "
            "cluster's token belongs into ~/.ray/auth_token."
        )
    port = port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise Unreachable(
            f"--address {address!r}: nothing answers there ({error.strerror or error}). Start the cluster (`ray "
            "start --head`), open a way to its dashboard (such as `ray dashboard` or `kubectl port-forward`), or "
            "correct the address."
        ) from error
