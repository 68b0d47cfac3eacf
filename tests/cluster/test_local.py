"""`sweep cluster`: several nodes on one machine, for this user alone, and taken down whole."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ray_dashboard import Dashboard

from cluster import local
from cluster.local import MARK
from sweep.errors import SweepError


def of_cluster(cluster_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == cluster_id:
                found.append(process)
    return found


def listed(dashboard: Dashboard) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(dashboard.sweep("cluster", "list", "--json").stdout)
    return found


def test_its_nodes_listen_on_this_machine_alone(dashboard: Dashboard) -> None:
    (about,) = [one for one in listed(dashboard) if one["dashboard"] == dashboard.url]
    listening = set()
    for process in of_cluster(str(about["cluster_id"])):
        with contextlib.suppress(psutil.Error):
            listening |= {
                one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN
            }
    assert listening
    # An IPv4 address may be written as one of IPv6.
    addresses = [ipaddress.ip_address(one) for one in listening]
    plain = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    assert all(address.is_loopback for address in plain), listening


def test_who_has_no_token_is_turned_away(dashboard: Dashboard) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    with pytest.raises(HTTPError) as error:
        urlopen(f"{dashboard.url}/api/jobs/", timeout=30)
    assert error.value.code == 401


def test_a_port_that_is_taken_is_refused_before_anything_starts(dashboard: Dashboard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = dashboard.sweep("cluster", "local", "--nodes", "1", "--port", port)
    assert result.returncode == 2
    assert f"--port {port}: it cannot be used" in result.stderr
    assert len(listed(dashboard)) == 1


def test_a_cluster_that_is_not_there_cannot_be_taken_down(dashboard: Dashboard) -> None:
    result = dashboard.sweep("cluster", "down", "nonesuch")
    assert result.returncode == 2
    assert "'nonesuch': there are " in result.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of this test alone, for Ray's token and the records of clusters."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SWEEP_CACHE", raising=False)
    return tmp_path


def test_a_node_that_does_not_start_says_why_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_START", "raise SystemExit('no room for a node')")
    with pytest.raises(SweepError, match="ended while it was starting, with status 1: no room for a node"):
        local.start(1, 1, 0)
    assert local.clusters() == []
    assert (home / ".ray" / "auth_token").stat().st_mode & 0o077 == 0, "nobody else reads the token"


def test_a_port_taken_while_it_starts_is_another_try_with_other_ports(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = home / "tries"
    monkeypatch.setattr(
        local,
        "_START",
        f"import sys; print(*sys.argv, file=open({str(tries)!r}, 'a')); "
        "raise SystemExit('OSError: [Errno 98] Address already in use')",
    )
    with pytest.raises(SweepError, match="Address already in use"):
        local.start(1, 1, 0)
    ports = [line.split()[line.split().index("--port") + 1] for line in tries.read_text().splitlines()]
    assert len(set(ports)) == 3
    assert local.clusters() == []


@pytest.mark.slow
def test_what_was_left_by_a_killed_command_is_taken_down_by_the_next_and_nothing_else(
    dashboard: Dashboard,
) -> None:
    (before,) = listed(dashboard)
    command = [sys.executable, "-c", "from sweep.cli import main; main()", "cluster", "local", "--nodes", "1"]
    with subprocess.Popen(
        [*command, "--cpus-per-node", "1"], env=dashboard.env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert "1 nodes of 1 CPU" in process.stdout.readline()
        process.kill()
    (left,) = [one for one in listed(dashboard) if one != before]
    cluster_id = str(left["cluster_id"])
    assert of_cluster(cluster_id)
    several = dashboard.sweep("cluster", "down")
    assert several.returncode == 2
    assert "2 clusters run" in several.stderr
    down = dashboard.sweep("cluster", "down", cluster_id)
    assert down.returncode == 0, down.stderr
    assert not of_cluster(cluster_id)
    assert listed(dashboard) == [before]


@pytest.mark.slow
def test_ctrl_c_takes_it_down(dashboard: Dashboard) -> None:
    import signal

    command = [sys.executable, "-c", "from sweep.cli import main; main()", "cluster", "local", "--nodes", "1"]
    with subprocess.Popen(command, env=dashboard.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = iter(process.stdout)
        assert any("Ctrl-C" in line for line in lines)
        assert len(listed(dashboard)) == 2
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert any("taken down" in line for line in lines)
        assert process.wait(60) == 0
    assert len(listed(dashboard)) == 1
