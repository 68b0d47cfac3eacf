"""What is known of each pack: its attempts, its result, its failures. Small JSON files, each written once.

An attempt is claimed by creating `attempt-NNN.json` under the next free number. That file is also the fence:
once it exists, the processes of older attempts are superseded and must write no more.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

from sweep.errors import StoreError, SweepError, UsageError
from sweep.store import files
from sweep.store.layout import Layout
from sweep.store.standings import ATTEMPT, FAILURE, read_side_by_side, standings

__all__ = ["Packs"]

_MOST_ATTEMPTS = 32_767  # the column is an int16


class Packs:
    """The packs of one sweep."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def known(self) -> list[str]:
        """The ids of the packs that somebody has started."""
        return files.list_names(self._layout.packs)

    def done(self) -> set[str]:
        """The packs that have a result."""
        return {pack for pack, standing in standings(self._layout).items() if standing.done}

    def attempts(self, pack_id: str) -> list[dict[str, Any]]:
        """What each attempt said when it started, oldest first, with its number as `attempt`."""
        return self._numbered(pack_id, ATTEMPT)

    def attempt_numbers(self, pack_id: str) -> list[int]:
        """The numbers of the attempts so far."""
        names = files.list_names(self._layout.pack(pack_id))
        return sorted(int(match[1]) for name in names if (match := ATTEMPT.fullmatch(name)))

    def next_attempt(self, pack_id: str) -> int:
        """The number that the next attempt will have."""
        return max(self.attempt_numbers(pack_id), default=-1) + 1

    def start_attempt(self, pack_id: str, info: Mapping[str, Any]) -> int:
        """Claim the next attempt and return its number; older attempts are superseded from here on.

        `info["resume_step"]` is the step of the checkpoint it goes on from, -1 for none. Host, process and
        time are filled in.
        """
        resume_step = info.get("resume_step")
        if not isinstance(resume_step, int) or isinstance(resume_step, bool) or resume_step < -1:
            raise UsageError(
                f"pack {pack_id!r}: resume_step {resume_step!r}: it must be the step of the checkpoint that "
                "the "
                "attempt goes on from, or -1 to start from nothing; put it into the attempt's info."
            )
        folder = self._layout.pack(pack_id)
        files.make_folder(folder)
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.time(),
            # On an object store a lost reply is told from another's claim by what is in the file.
            "nonce": secrets.token_hex(8),
            **info,
        }
        while (attempt := self.next_attempt(pack_id)) <= _MOST_ATTEMPTS:
            if files.put_json_if_absent(folder / f"attempt-{attempt:03}.json", {**about, "attempt": attempt}):
                # Of a process that failed before it had claimed this number.
                files.remove(folder / f"failure-{attempt:03}.json")
                return attempt
        raise StoreError(
            f"{folder}: {_MOST_ATTEMPTS:,} attempts at this pack, and no more can be counted; find out why "
            "it "
            "fails, then remove the folder to start the pack again."
        )

    def resume_steps(self, pack_id: str) -> dict[int, int]:
        """For each attempt the step it went on from."""
        found = {}
        for about in self.attempts(pack_id):
            if not isinstance(about.get("resume_step"), int):
                path = self._layout.pack(pack_id) / f"attempt-{about['attempt']:03}.json"
                raise StoreError(f"{path}: it has no resume_step; restore the file from a backup.")
            found[about["attempt"]] = about["resume_step"]
        return found

    def superseded(self, pack_id: str, attempt: int) -> bool:
        """Whether a newer attempt exists. One `stat` or request: cheap enough to ask before every commit."""
        # Attempts are numbered without gaps, so the next number's file tells.
        return files.exists(self._layout.pack(pack_id) / f"attempt-{attempt + 1:03}.json")

    def finish(self, pack_id: str, result: Mapping[str, Any]) -> None:
        """Record that the pack is done by `result["attempt"]`, after its last flush.

        The first result stands, and the rows are those of its attempt and older ones: a later attempt,
        started while an old process that was given up for dead came to its end, adds nothing and takes
        nothing away.
        """
        attempt = result.get("attempt")
        if attempt not in self.attempt_numbers(pack_id):
            raise SweepError(
                f"pack {pack_id!r}: result attempt={attempt!r}: it must be the number of the attempt that "
                "finished, "
                f"one of {self.attempt_numbers(pack_id)}; put the number that start_attempt gave into the "
                "result."
            )
        trials = result.get("trials")
        wrong = {
            trial: outcome
            for trial, outcome in (trials.items() if isinstance(trials, Mapping) else ())
            if not isinstance(outcome, Mapping) or outcome.get("status") not in ("finished", "diverged")
        }
        if not isinstance(trials, Mapping) or wrong:
            raise SweepError(
                f"pack {pack_id!r}: result trials={wrong or trials!r}: it must map each trial id to a "
                "mapping whose "
                "status is 'finished' or 'diverged'; a pack that failed is recorded with fail_pack."
            )
        files.make_folder(self._layout.pack(pack_id))
        files.put_json_if_absent(
            self._layout.pack(pack_id) / "result.json", {"finished": time.time(), **result}
        )

    def result(self, pack_id: str) -> dict[str, Any] | None:
        """The result of a pack that is done, else None."""
        try:
            found: dict[str, Any] = files.read_json(self._layout.pack(pack_id) / "result.json")
        except FileNotFoundError:
            return None
        return found

    def fail(self, pack_id: str, attempt: int, failure: Mapping[str, Any]) -> None:
        """Record why an attempt failed; `failure["reason"]` is one line for people."""
        files.make_folder(self._layout.pack(pack_id))
        about = {"reason": "unknown", "failed": time.time(), **failure, "attempt": attempt}
        files.replace_json(self._layout.pack(pack_id) / f"failure-{attempt:03}.json", about)

    def failures(self, pack_id: str) -> list[dict[str, Any]]:
        """The recorded failures of a pack, oldest first."""
        return self._numbered(pack_id, FAILURE)

    def all_failures(self) -> dict[str, list[dict[str, Any]]]:
        """Those of every pack that has any."""
        numbered = [
            (pack_id, number, self._layout.pack(pack_id) / name)
            for pack_id, standing in standings(self._layout).items()
            for number, name in standing.failures.items()
        ]
        found: dict[str, list[dict[str, Any]]] = {}
        contents = read_side_by_side([path for *_, path in numbered])
        for (pack_id, number, _), content in zip(numbered, contents, strict=True):
            if content is not None:
                found.setdefault(pack_id, []).append({**content, "attempt": number})
        return found

    def failure(self, pack_id: str) -> dict[str, Any] | None:
        """Why the pack stands still: the failure of its newest attempt, or of one that could not begin."""
        failures = self.failures(pack_id)
        newest = max(self.attempt_numbers(pack_id), default=-1)
        return failures[-1] if failures and failures[-1]["attempt"] >= newest else None

    def retry(self, pack_id: str) -> bool:
        """Rename the pack's failures to `retried-NNN.json`, so that it has not failed; False where there were none."""
        folder, found = self._layout.pack(pack_id), self.failures(pack_id)
        for failure in found:
            # First the copy: a failure that is there twice is still a failure, one that is lost is not.
            files.replace_json(folder / f"retried-{failure['attempt']:03}.json", failure)
            files.remove(folder / f"failure-{failure['attempt']:03}.json")
        return bool(found)

    def _numbered(self, pack_id: str, pattern: re.Pattern[str]) -> list[dict[str, Any]]:
        folder = self._layout.pack(pack_id)
        numbers = {int(m[1]): name for name in files.list_names(folder) if (m := pattern.fullmatch(name))}
        return [{**files.read_json(folder / numbers[n]), "attempt": n} for n in sorted(numbers)]
