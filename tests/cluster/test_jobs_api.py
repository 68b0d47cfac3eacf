"""What a connection to a cluster's Jobs API does where the cluster does not behave."""

from __future__ import annotations

import socket
import time

import pytest

from cluster import jobs_api
from cluster.jobs_api import Unreachable, connected


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
