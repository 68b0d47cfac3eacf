"""What a sweep's job and the processes of its packs have printed, by the cluster's own interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.job_record import Found
from cluster.jobs_api import asked, connected
from cluster.ray_jobs import Job

__all__ = ["job_output", "tail_of", "worker_output"]


def job_output(job: Found | Job) -> str:
    """All that the driver has printed so far. Raises SweepError where the cluster is away or has forgotten it."""
    with connected(job.address) as client:
        return str(client.get_job_logs(job.job_id))


def worker_output(address: str, attempt: Mapping[str, Any], lines: int) -> dict[str, str]:
    """The last lines that an attempt's process printed, by file name; empty where its node is gone with its files.

    `attempt` as the store keeps it: `pid`, and `node`, Ray's id of the node.
    """
    node, pid = attempt.get("node"), attempt.get("pid")
    if not node or not pid:
        return {}
    found: dict[str, str] = {}
    with connected(address) as client:
        listed = asked(client, "/api/v0/logs", node_id=node, glob=f"worker-*-{pid}.*") or {}
        names = [name for group in (listed.get("data", {}).get("result") or {}).values() for name in group]
        for name in sorted(names):
            text = asked(
                client, "/api/v0/logs/file", node_id=node, filename=name, lines=lines, filter_ansi_code="True"
            )
            # Lines that Ray writes for itself begin so.
            said = [
                line
                for line in str(text or "").splitlines()
                if not line.startswith((":job_id:", ":actor_name:"))
            ]
            if said:
                found[name] = "\n".join(said)
    return found


def tail_of(text: str, lines: int | None) -> str:
    """The last lines of a text, all where None are asked for."""
    return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])
