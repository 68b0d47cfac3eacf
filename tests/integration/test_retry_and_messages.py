"""Failed packs get another try and nothing else runs; people are told how it ended, and no secret is left anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from drills import Drill, assert_same_store

MakeDrill = Callable[..., Drill]
SECRET = "c0ffee-s3cret"


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook on loopback, and what was posted to it."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/{SECRET}", bodies
    server.shutdown()


def files_that_hold(text: str, root: Path) -> list[str]:
    return [str(path) for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_retry_runs_what_failed_and_says_so_without_its_secrets(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, posted: tuple[str, list[dict[str, Any]]]
) -> None:
    address, bodies = posted
    drill = new_drill(address=cluster)
    # A budget that is used up when training would begin: all is planned, nothing trained.
    assert drill.run("--max-hours", "1e-7", "--notify", address).code == 1
    failed, other = drill.packs()
    assert drill.attempts() == {failed: 0, other: 0}
    drill.store.start_attempt(failed, {"resume_step": -1})
    drill.store.fail_pack(failed, 0, {"reason": "MemoryError: the machine was too small"})

    retry = ("retry", drill.name, "--address", cluster, "--no-mlflow")
    refused = drill.sweep(*retry, "--pack", other)
    assert refused.code == 2
    assert f"has not failed: `sweep run` goes on with it; failed: {failed}" in refused.output
    refused = drill.sweep(*retry)
    assert refused.code == 2
    assert "say which packs of 'tiny': --failed for all (1 failed), or --pack ID for one" in refused.output

    done = drill.sweep(*retry, "--failed", "--notify", "env:HOOK", HOOK=address).ok()
    assert f"trying again {failed}: MemoryError: the machine was too small" in done.output
    assert "tiny: 3 finished, 3 planned; 1 packs trained" in done.output
    assert drill.attempts() == {failed: 2, other: 0}
    assert "nothing of tiny has failed" in drill.sweep(*retry, "--failed").ok().output

    drill.start_run("--notify", address).wait().ok()
    assert drill.attempts() == {failed: 2, other: 1}
    assert_same_store(drill.root, undisturbed.root)

    assert [body["title"] for body in bodies] == [
        "sweep tiny: stopped",
        "sweep tiny: ended, with trials that are still planned",
        "sweep tiny: finished",
    ]
    assert "--max-hours 1e-07 is used up" in bodies[0]["message"]
    assert "6 finished" in bodies[2]["message"]
    assert files_that_hold(SECRET, drill.root) == []
    assert not [command.log for command in drill.commands if SECRET in command.output]


def test_a_message_that_cannot_be_sent_fails_nothing_and_one_that_never_could_starts_nothing(
    new_drill: MakeDrill, cluster: str
) -> None:
    drill = new_drill(address=cluster)
    refused = drill.run("--notify", f"nonsense://{SECRET}")
    assert refused.code == 2
    assert "--notify: address 1 (nonsense://…) is no address" in refused.output
    assert SECRET not in refused.output
    assert drill.packs() == []
    # Nobody listens at port 9.
    ended = drill.run("--max-hours", "1e-7", "--notify", f"json://127.0.0.1:9/{SECRET}")
    assert "stopped: --max-hours 1e-07 is used up" in ended.output
    assert "address 1 (json://…) did not take the message 'sweep tiny: stopped'" in ended.output
    assert SECRET not in ended.output


def test_a_dashboards_url_is_no_address_of_a_cluster(new_drill: MakeDrill) -> None:
    drill = new_drill(address="http://127.0.0.1:8265")
    refused = drill.run()
    assert refused.code == 2
    assert "is the URL of a cluster's dashboard: `sweep submit` takes that" in refused.output
