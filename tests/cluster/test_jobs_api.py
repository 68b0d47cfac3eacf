"""What a connection to a cluster's Jobs API does where the cluster does not behave."""

from __future__ import annotations

import socket
import time
from typing import Any, cast

import pytest

from cluster import jobs_api
from cluster.jobs_api import Unreachable, connected, submit


def test_a_cluster_that_takes_connections_and_never_answers_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_api, "_ANSWER_SECONDS", 0.3)
    # Not 127.0.0.1, for which the token of this user would be looked for.
    with socket.create_server(("127.0.0.2", 0)) as silent:
        began = time.monotonic()
        address = f"http://127.0.0.2:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"refuses or went away: .*timed out"), connected(address):
            pytest.fail("nobody has answered")
        assert time.monotonic() - began < 20


class Starting:
    """A client of a cluster that has no agent for the first two jobs."""

    def __init__(self, says: str) -> None:
        self.says, self.asked = says, list[dict[str, str]]()

    def submit_job(self, **job: str) -> None:
        self.asked.append(job)
        if len(self.asked) <= 2:
            raise RuntimeError(self.says)


def test_a_cluster_that_still_starts_is_given_the_job_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_api, "_POLL_SECONDS", 0.0)
    starting = Starting("No available agent to submit job, please try again later.")
    submit(cast(Any, starting), submission_id="a")
    assert starting.asked == [{"submission_id": "a"}] * 3
    with pytest.raises(RuntimeError, match="already exists"):
        submit(cast(Any, Starting("a job of that id already exists")), submission_id="a")
