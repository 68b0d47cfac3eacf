"""Messages about sweeps, sent to a real server on this machine."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sweep import notify
from sweep.errors import UsageError
from sweep.messages import broken_off, ended, stalled
from sweep.notify import Messenger
from sweep.run import RunOptions, RunSummary

pytest.importorskip("apprise")


class Webhook:
    """An HTTP server on loopback that keeps what is posted; answers `status`, after `seconds`."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.status, self.seconds = 200, 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                time.sleep(hook.seconds)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://127.0.0.1:{self.server.server_port}/s3cret-path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.server.shutdown()


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_message_reaches_every_address(
    webhook: Webhook, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_CHAT", f"{webhook.address}/second")
    messenger = Messenger([webhook.address, "env:TEAM_CHAT"], said.append)
    messenger.send("sweep demo: finished", "185 finished; 0:03:10", "success")
    messenger.close()
    assert [path for path, _ in webhook.posted] == ["/s3cret-path", "/s3cret-path/second"]
    for _, body in webhook.posted:
        assert (body["title"], body["message"]) == ("sweep demo: finished", "185 finished; 0:03:10")
        assert body["type"] == "success"
    assert said == []


def test_without_the_option_the_environment_says_where(
    webhook: Webhook, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_NOTIFY", f"{webhook.address} {webhook.address}/second")
    messenger = Messenger([], said.append)
    assert messenger
    messenger.send("one", "text")
    messenger.close()
    assert len(webhook.posted) == 2


def test_without_any_address_nothing_is_started_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_NOTIFY", raising=False)
    monkeypatch.setitem(sys.modules, "apprise", None)
    messenger = Messenger([], print)
    assert not messenger
    messenger.send("one", "text")
    messenger.close()


def test_a_server_that_refuses_is_told_without_its_address_and_after_trying_again(
    webhook: Webhook, said: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "_RETRY_SECONDS", (0.0, 0.01))
    webhook.status = 500
    with caplog.at_level(logging.DEBUG):
        messenger = Messenger([webhook.address], said.append)
        messenger.send("sweep demo: finished", "text")
        messenger.close()
    (line,) = said
    assert "address 1 (json://…) did not take the message 'sweep demo: finished'" in line
    assert len(webhook.posted) == 3
    assert "s3cret" not in line + caplog.text


def test_a_server_that_hangs_delays_neither_the_sweep_nor_its_end(webhook: Webhook, said: list[str]) -> None:
    webhook.seconds = 3.0
    messenger = Messenger([webhook.address], said.append)
    began = time.monotonic()
    messenger.send("one", "text")
    assert time.monotonic() - began < 0.5
    messenger.close(seconds=0.4)
    assert time.monotonic() - began < 2.5
    assert "may be lost" in said[0]


def test_a_service_that_breaks_does_not_break_the_sweep(
    webhook: Webhook, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    def explode(*_: object, **__: object) -> bool:
        raise RuntimeError(f"cannot reach {webhook.address}")

    monkeypatch.setattr(notify, "_RETRY_SECONDS", ())
    monkeypatch.setattr(apprise.Apprise, "notify", explode)
    messenger = Messenger([webhook.address], said.append)
    messenger.send("one", "text")
    messenger.close()
    assert len(said) == 1
    assert "s3cret" not in said[0]


# What is refused, before anything starts


def test_apprise_that_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UsageError, match=r"pip install 'rankscope\[notify\]'"):
        Messenger(["json://127.0.0.1/"], print)


def test_an_address_that_is_none_is_refused_without_saying_it() -> None:
    with pytest.raises(UsageError, match=r"address 2 \(nonsense://…\) is no address") as caught:
        Messenger(["json://127.0.0.1/", "nonsense://user:s3cret@example.org"], print)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match="address 1 \\(without a scheme") as caught:
        Messenger(["s3cret"], print)
    assert "s3cret" not in str(caught.value)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEAM_CHAT", raising=False)
    with pytest.raises(UsageError, match="'TEAM_CHAT' is not set or empty; set it"):
        Messenger(["env:TEAM_CHAT"], print)


def test_options_do_not_show_their_addresses() -> None:
    assert "s3cret" not in repr(RunOptions(notify=("json://s3cret",)))


# What is said


def summary(**changes: Any) -> RunSummary:
    fields: dict[str, Any] = {
        "name": "demo",
        "trials": {"finished": 180, "diverged": 5},
        "seconds": 3725.4,
        "trained_packs": 14,
        "mirror_complete": True,
    }
    return RunSummary(**{**fields, **changes})


def test_a_sweep_that_finished_says_its_counts_its_time_and_where_to_look() -> None:
    title, body, kind = ended(summary(), Path("/mnt/sweeps"), "https://me:s3cret@mlflow.example.org")
    assert (title, kind) == ("sweep demo: finished", "success")
    assert "5 diverged, 180 finished; 1:02:05" in body
    assert "sweep report demo --root /mnt/sweeps" in body
    assert "MLflow: https://mlflow.example.org" in body
    assert "s3cret" not in body


def test_a_sweep_that_stopped_or_failed_says_why_and_what_to_do() -> None:
    left = {"finished": 3, "planned": 2}
    title, body, kind = ended(summary(trials=left, stopped="--max-hours 3 is used up"), Path("r"), None)
    assert (title, kind) == ("sweep demo: stopped", "warning")
    assert "--max-hours 3 is used up. What is planned goes on with the same command." in body
    failures = {f"pack-{i}": "MemoryError: too large" for i in range(7)}
    title, body, kind = ended(summary(trials={"failed": 7}, failures=failures), Path("r"), None)
    assert (title, kind) == ("sweep demo: ended with 7 failures", "failure")
    assert "failed: pack-4: MemoryError: too large" in body
    assert "pack-5" not in body
    assert "and 2 more" in body
    assert "sweep retry demo --failed --root r" in body


def test_other_ends_are_told_too() -> None:
    assert broken_off("demo", KeyboardInterrupt())[1].startswith("interrupted\n")
    assert broken_off("demo", RuntimeError("the disk is full"))[1].startswith("the disk is full\n")
    assert (
        stalled("demo", Path("r"), "for 30 minutes …")[1]
        == "for 30 minutes …\nlook: sweep status demo --root r"
    )
