"""Asking every node of a cluster, from outside it: a short job before the real one."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from cluster.jobs_api import ENDED, submit
from sweep.errors import SweepError
from sweep.reach import ClusterReport, tokens_folder
from sweep.store import files
from sweep.store.places import is_local

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["Here", "ask_cluster"]

_ENTRYPOINT = "python -c 'from sweep.reach import main; main()'"
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 300.0
_FILE = "outside.token"


class Here:
    """This machine's file under a root, while the block runs: so the cluster can say whether it sees the same root.

    `wrote` says whether there is one; a root that is not reached from here has none, which need not be wrong. A
    folder that is made here for it goes again.
    """

    def __init__(self, root: Path) -> None:
        self.tokens, self.content = tokens_folder(), secrets.token_hex(16)
        self.wrote = False
        self._root, self._made = root, False

    def __enter__(self) -> Here:
        # A relative path means a folder here; an absolute one that is not here may well be the cluster's mount.
        self._made = is_local(self._root) and not self._root.exists() and not self._root.is_absolute()
        if is_local(self._root) and not self._root.is_dir() and not self._made:
            return self
        with contextlib.suppress(Exception):
            files.make_folder(self._root)
            files.make_folder(self._root / self.tokens)
            files.replace(self._root / self.tokens / _FILE, self.content.encode())
            self.wrote = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            files.remove(self._root / self.tokens / _FILE)
        with contextlib.suppress(Exception):
            files.remove_files(self._root / self.tokens)
        if self._made:
            with contextlib.suppress(OSError):
                self._root.rmdir()


def ask_cluster(
    client: JobSubmissionClient, folder: str, job_id: str, root: str, here: Here
) -> ClusterReport:
    """What the nodes say, by a job of the code in `folder` which needs no resources.

    Raises SweepError where it ends without an answer.
    """
    asked = {"root": root, "theirs": {_FILE: here.content}, "tokens": here.tokens}
    # Not the job's own id: that is still free if this one is broken off.
    asking = f"{job_id}-nodes-{secrets.token_hex(3)}"
    entrypoint = f"{_ENTRYPOINT} {shlex.quote(json.dumps(asked))}"
    submit(client, entrypoint=entrypoint, submission_id=asking, runtime_env={"working_dir": folder})
    try:
        status = _wait(client, asking)
        said = client.get_job_logs(asking)
        report = ClusterReport.parse(said)
        if report is None:
            raise SweepError(
                f"the cluster's nodes could not be asked whether they can run the sweep: the job that asks them is "
                f"{status.lower()}.\n{_last_lines(said) or str(client.get_job_info(asking).message)}"
            )
        return report
    finally:
        with contextlib.suppress(RuntimeError, OSError):
            client.stop_job(asking)


def _wait(client: JobSubmissionClient, asking: str) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = str(client.get_job_status(asking).value)
        if status in ENDED:
            return status
        time.sleep(_POLL_SECONDS)
    return f"not finished after {_PATIENCE_SECONDS:g} s"


def _last_lines(text: str, count: int = 8) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
