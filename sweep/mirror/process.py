"""The mirror as a process of its own, which never slows the driver down nor outlives it for long."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sweep.errors import LockedError, SweepError
from sweep.mirror.errors import TrackingUnavailable
from sweep.mirror.follow import Commands, Pace, mirror
from sweep.mirror.tracking import QUIET, embedded_tracking_uri
from sweep.mirror.watermark import MirrorPaths
from sweep.store import Store
from sweep.store.files import make_folder
from sweep.store.places import is_local, root_place

_INCOMPLETE = 3
"""Exit status of a mirror that was told to finish while MLflow did not answer."""

_PREDECESSOR_SECONDS = 60.0
_BUCKET_POLL_SECONDS = 15.0


class MirrorProcess:
    """A mirror that runs beside the caller.

    The mirror ends by itself soon after the process that started it, however that ended: it holds the
    other end of a pipe.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.pid: int = process.pid
        self.log = log

    def poll(self) -> int | None:
        """None while it runs, then its exit status: 0 done, 1 failed, 3 MLflow did not answer at the end."""
        return self._process.poll()

    def stop(self, finish: bool = True, timeout: float = 120.0) -> int:
        """End the mirror and return its exit status.

        With `finish` it first copies what is in the store, for at most `timeout` seconds; without, and
        when they are over, it ends at once. What is missing is for `sweep sync`.
        """
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        if finish:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout)
        for end in (self._process.terminate, self._process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(10.0)
        return self._process.wait()


def start_mirror_process(
    root: str | Path, name: str, tracking_uri: str | None = None, *, poll_seconds: float = 2.0
) -> MirrorProcess:
    """Start `python -m sweep.mirror` on a sweep; returns at once.

    Without `tracking_uri` it copies into the root's embedded MLflow. Its output goes to a log file in
    `store/<sweep>/mirror/`, of a bucket in the node's own folder; `mirror_status` tells how it stands. Raises
    UsageError for a sweep that does not exist.
    """
    uri = tracking_uri or embedded_tracking_uri(root)
    paths = MirrorPaths.of(Store(root).sweep(name).layout.folder, uri)
    make_folder(paths.here)
    command = [sys.executable, "-m", "sweep.mirror", "--root", str(root), "--name", name]
    with open(paths.log, "ab") as log:
        process = subprocess.Popen(
            [*command, "--tracking-uri", "-", "--poll-seconds", str(poll_seconds)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **QUIET},
            # Ctrl-C in a terminal goes to the driver alone, which then lets the mirror finish.
            start_new_session=True,
        )
    # By the pipe and not as an argument: a URI may hold a password, and arguments are for all to see.
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(uri.encode() + b"\n")
            process.stdin.flush()
    return MirrorProcess(process, paths.log)


def main(arguments: list[str] | None = None) -> int:
    """`python -m sweep.mirror`: follow a sweep until standard input closes, or copy it `--once`."""
    parser = argparse.ArgumentParser(prog="python -m sweep.mirror", description=main.__doc__)
    parser.add_argument("--root", required=True, help="the root folder")
    parser.add_argument("--name", required=True, help="the sweep")
    parser.add_argument(
        "--tracking-uri", help="MLflow's; '-' reads it from standard input; the root's own without it"
    )
    parser.add_argument("--once", action="store_true", help="copy what is in the store now, then end")
    parser.add_argument(
        "--poll-seconds", type=float, default=2.0, help="pause between two looks at the store"
    )
    given = parser.parse_args(arguments)
    uri = given.tracking_uri or embedded_tracking_uri(given.root)
    if uri == "-":
        uri = sys.stdin.buffer.readline().decode().strip()
    commands = _commands(once=given.once)
    # Training goes first on a machine that has no core to spare.
    with contextlib.suppress(OSError):
        os.nice(5)
    try:
        _follow(given.root, given.name, uri, commands, Pace(poll=_poll(given.root, given.poll_seconds)))
    except TrackingUnavailable as error:
        print(error, file=sys.stderr, flush=True)
        return _INCOMPLETE
    except SweepError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _poll(root: str, wanted: float) -> float:
    """In a bucket every look is some requests a pack, which cost money."""
    return wanted if is_local(root_place(root)) else max(wanted, _BUCKET_POLL_SECONDS)


def _follow(root: str, name: str, uri: str, commands: Commands, pace: Pace) -> None:
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while True:
        try:
            mirror(root, name, uri, commands, pace, lambda _: None)
            return
        except LockedError:
            # The mirror of a driver that was killed takes a moment to notice and finish.
            if commands.finish.is_set() or time.monotonic() > deadline:
                raise
            commands.finish.wait(0.5)


def _commands(*, once: bool) -> Commands:
    commands = Commands.none()

    def quit_now(*_: object) -> None:
        commands.quit.set()
        commands.finish.set()

    signal.signal(signal.SIGTERM, quit_now)
    signal.signal(signal.SIGINT, quit_now)
    if once:
        commands.finish.set()
    else:
        threading.Thread(target=_wait_for_end_of_input, args=(commands.finish,), daemon=True).start()
    return commands


def _wait_for_end_of_input(finish: threading.Event) -> None:
    # os.read and not sys.stdin: a thread that blocks in the latter holds up the interpreter's exit.
    while os.read(0, 4096):
        pass
    finish.set()
