"""`python guarded.py COMMAND...` runs a command that does not outlive whoever started it, `kill -9` included.

The starter holds the other end of standard input, which the system closes when the starter is gone; then the
whole process group is ended. Only the standard library is imported, so that it costs a start nothing.
"""

import os
import signal
import subprocess
import sys
import threading
import time

_POLITE_SECONDS = 5.0


def main(command: list[str]) -> int:
    """Run `command` in this process group, of which this process must be the leader; returns its exit status."""
    # SIGTERM goes to the group: the command ends by it, and this process after the command.
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    return child.wait()


def _end_with_the_starter() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(_POLITE_SECONDS)
    # Whatever has not ended by then, this process with it.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # A command that died of a signal has a negative status; shells say 128 + number.
    sys.exit(status if status >= 0 else 128 - status)
