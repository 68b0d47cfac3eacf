"""Nothing of a sweep on this machine listens where another machine could reach it."""

from __future__ import annotations

from collections.abc import Callable

import psutil
from drills import Drill, marked

MakeDrill = Callable[..., Drill]


def test_a_ray_of_our_own_listens_on_loopback_alone(
    new_drill: MakeDrill, environment: dict[str, str]
) -> None:
    command = new_drill().start_run()
    found: dict[str, set[str]] = {}

    def trains() -> bool:
        for process in marked(environment):
            try:
                sockets = process.net_connections(kind="inet")
            except psutil.Error:
                continue
            for one in sockets:
                if one.status == psutil.CONN_LISTEN:
                    found.setdefault(one.laddr.ip, set()).add(process.name())
        return any("raylet" in names for names in found.values()) and bool(command.output.count("packs"))

    command.until(trains, "Ray was up")
    command.kill()
    assert {name for names in found.values() for name in names} >= {"gcs_server", "raylet"}
    assert set(found) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, found
