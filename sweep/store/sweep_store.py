"""The store of a root, and of one sweep in it: what the other parts of Rankscope and notebooks use."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sweep.errors import CorruptSegmentError, StoreError, UsageError
from sweep.store import files, manifest, segments, tail, trials
from sweep.store.compaction import CompactionSummary, compact
from sweep.store.last import read_last
from sweep.store.layout import Layout, Table, checked_name
from sweep.store.lock import Owned, locked, owner
from sweep.store.packs import Packs
from sweep.store.places import is_local, root_place
from sweep.store.reader import Filters, measured, read_table
from sweep.store.standings import Standing, standings
from sweep.store.tail import Cursors, TailBatch
from sweep.store.writer import SegmentWriter

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Store", "SweepStore"]


class Store:
    """All sweeps under a root folder.

    Reading methods need no lock and may run while a sweep does. Names are checked: they cannot leave the
    root.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = root_place(root)

    def sweeps(self) -> list[str]:
        """The names of the sweeps, sorted."""
        names = files.list_names(self.root / "store")
        return [name for name in names if files.is_folder(self.root / "store" / name)]

    def sweep(self, name: str) -> SweepStore:
        """A sweep that exists. Raises UsageError."""
        layout = Layout(self.root, checked_name(name))
        if not files.is_folder(layout.folder):
            known = ", ".join(self.sweeps()) or "none yet"
            raise UsageError(f"no sweep {name!r} under {self.root}; there are: {known}. Is --root right?")
        return SweepStore(layout)

    def create(self, name: str) -> SweepStore:
        """A sweep, made if it is not there yet. Raises UsageError for a name that is not allowed."""
        layout = Layout(self.root, checked_name(name))
        files.make_folder(layout.folder)
        if not is_local(layout.folder) and not files.is_folder(layout.folder):
            # There a folder is what lies in it.
            files.put_json_if_absent(layout.folder / ".sweep", {"name": name})
        return SweepStore(layout)

    def trials(self, name: str) -> pd.DataFrame:
        """One row a trial: identity, configuration, status and outcome as of now."""
        return self.sweep(name).trials()

    def metrics(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        filters: Filters = None,
        *,
        skip_corrupt: bool = False,
        categorical: bool = False,
    ) -> pd.DataFrame:
        """One row a (trial_id, step), in that order, compacted or not.

        `columns` and `filters` (as in pyarrow, `[("step", ">=", 1000)]`) are pushed down into the files.
        With `categorical`, `trial_id` is a pandas categorical: a few bytes a row instead of a text.
        Raises CorruptSegmentError naming a damaged file; with `skip_corrupt` the rest is read, and
        `.attrs["skipped"]` lists what was left out.
        """
        read = self.sweep(name).table("metrics", columns, filters, skip_corrupt=skip_corrupt)
        return _frame(read, categorical=categorical)

    def last_metrics(
        self,
        name: str,
        measures: Sequence[str] | None = None,
        filters: Filters = None,
        *,
        skip_corrupt: bool = False,
    ) -> pd.DataFrame:
        """Of `metrics` (trial_id, a categorical, step, and the measures; all columns where none are named),
        only the rows that are a trial's last, or hold its last value of one of the measures.

        So a trial has few rows, and the files are reduced to them as they are read: millions of rows need
        little memory. Otherwise as `metrics`.
        """
        return _frame(self.sweep(name).last(measures, filters, skip_corrupt=skip_corrupt), categorical=True)

    def spectra(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        filters: Filters = None,
        *,
        skip_corrupt: bool = False,
    ) -> pd.DataFrame:
        """One row a (trial_id, step, name): long vectors, float32, in `values`. Otherwise as `metrics`."""
        return _frame(self.sweep(name).table("spectra", columns, filters, skip_corrupt=skip_corrupt))


class SweepStore:
    """The store of one sweep.

    The driver, holding `lock()`, writes the record, plans and trials and compacts; the training process of
    each pack writes attempts, segments, results and failures of its pack. Anybody may read at any time.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._packs = Packs(layout)
        self._owned: Owned | None = None

    def __reduce__(self) -> tuple[type[SweepStore], tuple[Layout]]:
        # Another process does not own what this one does.
        return type(self), (self.layout,)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.layout.name

    # The driver's part

    @contextmanager
    def lock(self) -> Iterator[Owned]:
        """Own the sweep while the block runs. Raises LockedError naming the owner's host and process.

        On an object store this is a lease, which can be lost to another process where this one could not renew it
        for a minute: then `.lost` of what is yielded is set, and the methods of the driver raise LockedError.
        """
        with locked(self.layout.lock, f"sweep {self.name!r}") as owned:
            self._owned = owned
            try:
                yield owned
            finally:
                self._owned = None

    def owner(self) -> dict[str, Any] | None:
        """Host, pid, since (unix s) and command of who holds the lock; None where nobody does."""
        return owner(self.layout.lock)

    def write_sweep_record(self, record: Mapping[str, Any]) -> None:
        """Replace the provenance record (JSON: study text, versions, machine, dataset fingerprints ...)."""
        self._check_owned()
        files.replace_json(self.layout.record, dict(record))

    def clear_stop(self) -> None:
        """Forget that the sweep was asked to stop, before it goes on."""
        self._check_owned()
        files.remove(self.layout.stop)

    def write_spent(self, spent: Mapping[str, float]) -> None:
        """Replace what all runs of the sweep together have used: `gpu_hours`."""
        files.replace_json(self.layout.spent, dict(spent))

    def retry_pack(self, pack_id: str) -> bool:
        """Let a pack that has failed count as planned again, its failures kept aside; False where it had none."""
        self._check_owned()
        return self._packs.retry(pack_id)

    def sweep_record(self) -> dict[str, Any] | None:
        """The provenance record; None where the sweep was stopped before it was written."""
        try:
            found: dict[str, Any] = files.read_json(self.layout.record)
        except FileNotFoundError:
            return None
        return found

    def write_plan(self, plan: Mapping[str, Any]) -> int:
        """Add a plan generation and return its number; it is never changed afterwards.

        `plan["packs"]` maps each pack id to a mapping with at least `trials`, its list of trial ids. A trial
        belongs to one pack for good: UsageError for a pack or a trial that is planned already.
        """
        self._check_owned()
        before = self.plans()
        taken = {
            trial: pack for old in before for pack, about in old["packs"].items() for trial in about["trials"]
        }
        packs_before = {pack for old in before for pack in old["packs"]}
        for pack, about in plan["packs"].items():
            self.layout.pack(pack)
            if pack in packs_before:
                raise UsageError(
                    f"plan: pack {pack!r} is in an earlier generation; give each pack an id of its own."
                )
            for trial in about["trials"]:
                if trial in taken:
                    raise UsageError(
                        f"plan: trial {trial!r} of pack {pack!r} is in pack {taken[trial]!r} already; plan "
                        "only "
                        "trials that are in no plan."
                    )
                taken[trial] = pack
        files.make_folder(self.layout.plans)
        # Not indented: that takes ten times as long, and a plan can have a hundred thousand trials.
        if not files.put_if_absent(self.layout.plan(len(before)), json.dumps(dict(plan)).encode()):
            raise StoreError(
                f"{self.layout.plan(len(before))}: another process has planned at the same time; hold lock()."
            )
        return len(before)

    def generations(self) -> int:
        """How many plan generations there are, without reading them."""
        return len([name for name in files.list_names(self.layout.plans) if name.endswith(".json")])

    def plans(self) -> list[dict[str, Any]]:
        """The plan generations, oldest first."""
        return [
            files.read_json(self.layout.plans / name)
            for name in files.list_names(self.layout.plans)
            if name.endswith(".json")
        ]

    def write_trials(self, rows: pd.DataFrame | Mapping[str, Sequence[Any]]) -> None:
        """Replace the table of trials (`schema.TRIALS`, at least trial_id, pack_id and status)."""
        self._check_owned()
        trials.write_trials(self.layout, rows)

    def gather_seconds(self) -> None:
        """Keep what packs spent their time on in one file, so that nobody opens the results of all to tell."""
        self._check_owned()
        trials.gather_seconds(self.layout)

    def compact(
        self, min_rows: int = 0, grace_seconds: float = 60.0, rows_per_part: int = 2_000_000
    ) -> CompactionSummary:
        """Move finished packs into the compacted tables, if they have `min_rows` metric rows together.

        Their segments are removed by the first compaction that comes `grace_seconds` later; readers do not
        need the grace, tools that look at `hot/` themselves do. Damaged packs stay and are in the summary.
        """
        self._check_owned()
        return compact(
            self.layout, min_rows=min_rows, grace_seconds=grace_seconds, rows_per_part=rows_per_part
        )

    # The training process's part

    def next_attempt(self, pack_id: str) -> int:
        """The number that the pack's next attempt will have."""
        return self._packs.next_attempt(pack_id)

    def start_attempt(self, pack_id: str, info: Mapping[str, Any]) -> int:
        """Claim the next attempt, superseding older ones. `info` needs `resume_step`, -1 for from nothing."""
        return self._packs.start_attempt(pack_id, info)

    def superseded(self, pack_id: str, attempt: int) -> bool:
        """Whether a newer attempt exists: ask before every commit, of checkpoints too."""
        return self._packs.superseded(pack_id, attempt)

    def segment_writer(
        self, pack_id: str, attempt: int, resume_step: int, next_seq: int = 0
    ) -> SegmentWriter:
        """A writer of this attempt's rows."""
        return SegmentWriter(self.layout, self._packs, pack_id, attempt, resume_step, next_seq)

    def finish_pack(self, pack_id: str, result: Mapping[str, Any]) -> None:
        """Record a pack as done, after its last flush.

        `result["attempt"]` is the attempt that finished, `result["trials"]` maps each trial id to its
        `status` (finished or diverged), `final_step`, `diverged_step`, `wall_seconds` ...
        """
        self._packs.finish(pack_id, result)

    def fail_pack(self, pack_id: str, attempt: int, failure: Mapping[str, Any]) -> None:
        """Record why an attempt failed: `reason`, one line, and whatever else helps."""
        self._packs.fail(pack_id, attempt, failure)

    # Anybody's part

    def request_stop(self, reason: str) -> None:
        """Ask the sweep to stop: packs checkpoint and end within seconds, no further one begins.

        A request that is there already stays, with its reason.
        """
        about = {"reason": reason, "asked": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
        files.put_json_if_absent(self.layout.stop, about)

    def stop_request(self) -> dict[str, Any] | None:
        """Reason, asked (unix s), host and pid of the request to stop that stands; None where there is none."""
        try:
            found: dict[str, Any] = files.read_json(self.layout.stop)
        except FileNotFoundError:
            return None
        return found

    def packs_done(self) -> set[str]:
        """The packs that have a result."""
        return self._packs.done()

    def attempts(self, pack_id: str) -> list[dict[str, Any]]:
        """What each attempt of a pack said when it started, oldest first."""
        return self._packs.attempts(pack_id)

    def result(self, pack_id: str) -> dict[str, Any] | None:
        """The result of a pack that is done, else None."""
        return self._packs.result(pack_id)

    def failures(self) -> dict[str, list[dict[str, Any]]]:
        """Recorded failures by pack, oldest first; packs that finished later are in it too."""
        return self._packs.all_failures()

    def spent(self) -> dict[str, Any] | None:
        """What all runs of the sweep together have used; None before any was counted."""
        try:
            found: dict[str, Any] = files.read_json(self.layout.spent)
        except FileNotFoundError:
            return None
        return found

    def last_step(self, pack_id: str) -> int | None:
        """The highest step of the pack's newest segment, from its last bytes alone; None before the first."""
        found = segments.list_segments(self.layout, "metrics", pack_id)
        try:
            return segments.describe(found[-1]).last_step if found else None
        except (FileNotFoundError, CorruptSegmentError):
            return None

    def trials(
        self, columns: Collection[str] | None = None, packs: Mapping[str, Standing] | None = None
    ) -> pd.DataFrame:
        """One row a trial, as of now; all columns, or those that are named. `packs`: `standings()`, if at hand."""
        return trials.read_trials(self.layout, columns, packs)

    def statuses(self, packs: Mapping[str, Standing] | None = None) -> tuple[list[list[str]], list[str]]:
        """Each trial's spaces and status, as `trials` has them, sooner. `packs`: `standings()`, if at hand."""
        return trials.read_statuses(self.layout, packs)

    def seconds_spent(self, packs: Mapping[str, Standing] | None = None) -> dict[str, dict[str, float]]:
        """What each pack that is done spent its time on. `packs`: `standings()`, if at hand."""
        return trials.seconds_spent(self.layout, packs)

    def standings(self) -> dict[str, Standing]:
        """Of every pack that was started: its attempts, failures and whether it is done, from one listing."""
        return standings(self.layout)

    def table(
        self,
        table: Table = "metrics",
        columns: Sequence[str] | None = None,
        filters: Filters = None,
        *,
        skip_corrupt: bool = False,
    ) -> tuple[Any, list[CorruptSegmentError]]:
        """Rows as a `pyarrow.Table` (`trial_id` a dictionary), and the damaged files that were skipped."""
        return read_table(self.layout, table, columns, filters, skip_corrupt=skip_corrupt)

    def last(
        self,
        measures: Sequence[str] | None = None,
        filters: Filters = None,
        *,
        skip_corrupt: bool = False,
    ) -> tuple[Any, list[CorruptSegmentError]]:
        """Metrics as `table` gives them, of which only the rows that are a trial's last, or hold its last
        value of a measure (of any column where none are named)."""
        return read_last(self.layout, measures, filters, skip_corrupt=skip_corrupt)

    def measured(self) -> list[str] | None:
        """The columns of metrics that hold a value anywhere, without reading any; None while some rows are in
        segments, which cannot tell."""
        return measured(self.layout)

    def tail(
        self, cursors: Cursors, table: Table = "metrics", *, skip_corrupt: bool = False
    ) -> Iterator[TailBatch]:
        """Batches committed since `cursors` ({pack_id: (attempt, seq)} of the last one taken), then it ends.

        Packs in order of id, each pack's segments oldest first; rows that a later attempt repeats are left
        out, and may come again from that attempt, equal. A pack compacted before its segments were all taken
        comes whole, as one batch, rows taken before included: followers go by each trial's last step. Call
        again later for more. A segment that a superseded process commits late, below the cursor, does not
        count and is not seen.
        """
        return tail.tail(self.layout, cursors, table, skip_corrupt=skip_corrupt)

    def corrupt_segments(self, *, deep: bool = True, segments_too: bool = True) -> list[CorruptSegmentError]:
        """Every damaged file of rows, an error each with `.path`. `deep` reads all, else sizes and ends.

        Without `segments_too` only of the compacted ones, which are few.
        """
        found: list[CorruptSegmentError] = []
        try:
            current = manifest.latest(self.layout)
        except CorruptSegmentError as error:
            return [error]
        for part in current.parts:
            try:
                manifest.check_part(self.layout, part, deep=deep)
            except CorruptSegmentError as error:
                found.append(error)
        table: Table
        for table in ("metrics", "spectra") if segments_too else ():
            for committed in segments.list_all(self.layout, table).values():
                for segment in committed:
                    try:
                        (segments.check if deep else segments.describe)(segment)
                    except FileNotFoundError:
                        continue  # compacted meanwhile
                    except CorruptSegmentError as error:
                        found.append(error)
        return found

    def _check_owned(self) -> None:
        """Raise LockedError where the sweep was this process's and is another's by now."""
        if self._owned is not None:
            self._owned.check()


def _frame(read: tuple[Any, list[CorruptSegmentError]], *, categorical: bool = False) -> pd.DataFrame:
    import pyarrow as pa

    rows, skipped = read
    if "trial_id" in rows.column_names and not categorical:
        index = rows.schema.get_field_index("trial_id")
        rows = rows.set_column(index, "trial_id", rows.column("trial_id").cast(pa.string()))
    frame: pd.DataFrame = rows.to_pandas()
    if skipped:
        frame.attrs["skipped"] = [str(error) for error in skipped]
    return frame
