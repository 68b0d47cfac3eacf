"""Importing a dataset: shard after shard, in bounded memory, to be gone on with after any interruption."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agents.data.dataset import Dataset
from agents.data.importers.bad_records import BadRecords
from agents.data.importers.blocks import BadRecord, CopiesWhole, ImportPlan, KnowsNames, Reader
from agents.data.importers.progress import ImportProgress, Meter, MeteredSource, OnProgress
from agents.data.importers.registry import find_reader
from agents.data.importers.source import Shard, Source
from agents.data.importers.storing import BlockStore
from agents.data.making import check_free
from agents.data.provenance import provenance
from agents.data.writer import DatasetWriter
from agents.errors import DatasetError

__all__ = ["Import", "ImportProgress", "import_dataset", "prepare_import"]

_ENGINE_VERSION = 1
_NO_OPTIONS: Mapping[str, str] = {}


def import_dataset(
    format: str,
    url: str,
    path: Path | str,
    *,
    options: Mapping[str, str] = _NO_OPTIONS,
    shards: str | None = None,
    max_transitions: int | None = None,
    skip_bad_records: int = 0,
    checksums: Mapping[str, str] | None = None,
    cache: Path | None = None,
    begin_again: bool = False,
    progress: OnProgress | None = None,
) -> Dataset:
    """Make the dataset ``path`` (``ROOT/datasets/<name>``) of what lies at ``url``; it appears when it is whole.

    ``shards`` picks files: a glob of their names, or ``FIRST:LAST``, places in the order of their names,
    counted from 0, the last one included. ``max_transitions`` ends after so many. At most
    ``skip_bad_records`` records are left out, and noted in the provenance. ``checksums`` are SHA-256 sums by
    file name; ``cache`` holds files that a format cannot read as a stream (``ROOT/cache/sources`` if None).
    An import that ended early goes on from its last finished shard when it is called with equal arguments, and
    its content is that of one never disturbed; ``begin_again`` discards it instead. ``progress`` is called
    about twice a second and after each shard.

    Raises DatasetError naming shard, record and key, and the remedy, for what cannot be imported.
    """
    prepared = prepare_import(
        format,
        url,
        path,
        options=options,
        shards=shards,
        max_transitions=max_transitions,
        skip_bad_records=skip_bad_records,
        checksums=checksums,
        cache=cache,
        begin_again=begin_again,
    )
    return prepared.run(progress)


def prepare_import(
    format: str,
    url: str,
    path: Path | str,
    *,
    options: Mapping[str, str] = _NO_OPTIONS,
    shards: str | None = None,
    max_transitions: int | None = None,
    skip_bad_records: int = 0,
    checksums: Mapping[str, str] | None = None,
    cache: Path | None = None,
    begin_again: bool = False,
) -> Import:
    """Look at the source and check what is asked, as ``import_dataset`` takes it; nothing is written.

    Raises DatasetError for what could not be meant: an unknown format or option, a source that is not there
    or holds nothing of the format, a name that is taken.
    """
    reader, path = find_reader(format), Path(path)
    check_free(path)
    if max_transitions is not None and max_transitions < 1:
        raise DatasetError(f"max_transitions is {max_transitions}; it must be at least 1")
    if skip_bad_records < 0:
        raise DatasetError(f"skip_bad_records is {skip_bad_records}; it must be at least 0")
    if isinstance(reader, KnowsNames):
        url = reader.locate(url, options)
    if "://" not in url:
        url = str(Path(url).expanduser().absolute())
    source = Source(url, cache=cache or path.parent.parent / "cache" / "sources", checksums=checksums)
    asked = {
        "format": format,
        "source": url,
        "options": dict(sorted(options.items())),
        "shards": shards,
        "max_transitions": max_transitions,
    }
    whole = isinstance(reader, CopiesWhole)
    if whole and (shards is not None or max_transitions is not None):
        raise DatasetError(f"{format} copies a dataset as it is: leave out shards and max_transitions.")
    plan = None
    if not whole:
        plan = reader.plan(source, options)
        plan = replace(plan, shards=_chosen(plan.shards, shards, format, url))
    return Import(reader, source, path, plan, asked, skip_bad_records, begin_again)


@dataclass(frozen=True)
class Import:
    """What ``prepare_import`` found; ``plan`` is None where the reader copies a dataset as it is."""

    reader: Reader
    source: Source
    path: Path
    plan: ImportPlan | None
    asked: dict[str, Any]
    skip_bad_records: int
    begin_again: bool

    def run(self, progress: OnProgress | None = None) -> Dataset:
        """Import. Raises DatasetError."""
        plan = self.plan
        if plan is None:
            assert isinstance(self.reader, CopiesWhole)
            return self.reader.copy(self.source, self.path, self.asked["options"])
        key = {
            **self.asked,
            "environment": plan.environment.model_dump(mode="json"),
            "columns": {name: one.model_dump(mode="json") for name, one in sorted(plan.columns.items())},
            "engine": _ENGINE_VERSION,
        }
        with DatasetWriter(
            self.path,
            plan.environment,
            None,
            columns=plan.columns,
            resume_key=json.dumps(key, sort_keys=True),
            begin_again=self.begin_again,
        ) as writer:
            run = _Run(self, plan, writer, progress)
            try:
                run.read()
                return run.finish()
            finally:
                run.store.close()


class _Run:
    """The shards one after the other, a mark after each."""

    def __init__(
        self, asked: Import, plan: ImportPlan, writer: DatasetWriter, progress: OnProgress | None
    ) -> None:
        state = writer.resumed
        self.asked, self.plan, self.writer, self.progress = asked.asked, plan, writer, progress
        self.reader, self.source = asked.reader, asked.source
        self.max_transitions: int | None = asked.asked["max_transitions"]
        self.done = _finished_shards(state, plan.shards, writer)
        self.before = writer.filled
        self.verified: dict[str, str] = dict(state["verified"]) if state else {}
        # Those that finished a file.
        self.processes: int = state["processes"] + 1 if state else 1
        self.store = BlockStore(writer, plan, state["store"] if state else None)
        self.bad = BadRecords(asked.skip_bad_records, state["bad_records"] if state else None)
        self.meter = Meter(plan.shards, state["bytes"] if state else 0, state["seconds"] if state else 0.0)
        self.shard = ""

    @property
    def room(self) -> int | None:
        """Transitions that may still be stored; None for any number."""
        return None if self.max_transitions is None else self.max_transitions - self.writer.filled

    def read(self) -> None:
        """Import every shard that is not yet imported."""
        source = MeteredSource(self.source, self.meter)
        for shard in self.plan.shards[self.done :]:
            if self.room == 0:
                break
            self.shard = shard.name
            self._read_shard(source, shard)
            self.meter.end_shard(shard)
            self.done += 1
            self.verified |= self.source.verified
            self.store.sync()
            self.writer.mark(self._state())
            self._report()

    def finish(self) -> Dataset:
        """Make the dataset visible."""
        if not self.writer.filled:
            raise DatasetError(
                f"{self.source.url} holds no transition that {self.reader.format} could read in "
                f"{len(self.plan.shards)} files{self.bad.summary()}. Is it the right format and folder?"
            )
        self.store.remove_files()
        rates = self.meter.rates(self.writer.filled - self.before)
        record = {
            **provenance(),
            "import": {
                **self.asked,
                "bad_records": self.bad.record(),
                "files": [
                    {"name": shard.name, "size": shard.size, "sha256": shard.sha256}
                    for shard in self.plan.shards[: self.done]
                ],
                "verified": self.verified,
                "processes": self.processes,
                **{
                    name: round(float(rates[name]), 3)
                    for name in ("seconds", "transitions_per_second", "bytes_per_second")
                },
                "bytes_read": rates["bytes_read"],
            },
            "reader": dict(self.plan.provenance),
        }
        return self.writer.finish(
            self.store.episodes, self.store.mean_return, record, consecutive=self.plan.consecutive
        )

    def _read_shard(self, source: Source, shard: Shard) -> None:
        for block in self.reader.read(source, shard, self.plan):
            if isinstance(block, BadRecord):
                self.bad.add(block)
            else:
                self.store.add(block, self.room, self._refuse)
            if self.meter.due():
                self._report()
            if self.room == 0:
                return

    def _refuse(self, record: int, key: str, why: str) -> None:
        self.bad.add(BadRecord(self.shard, record, key, why))

    def _state(self) -> dict[str, Any]:
        return {
            "shards": [[shard.name, shard.size, shard.sha256] for shard in self.plan.shards[: self.done]],
            "of": len(self.plan.shards),
            "store": self.store.state(),
            "bad_records": self.bad.record(),
            "bytes": self.meter.bytes_read,
            "seconds": self.meter.seconds,
            "processes": self.processes,
            "verified": self.verified,
        }

    def _report(self) -> None:
        if self.progress is None:
            return
        self.progress(
            ImportProgress(
                shard=self.shard,
                shards_done=self.done,
                shards=len(self.plan.shards),
                transitions=self.writer.filled,
                frames=self.writer.frames_filled,
                episodes=self.store.episodes,
                bad_records=self.bad.count,
                **self.meter.rates(self.writer.filled - self.before),
            )
        )


def _finished_shards(
    state: Mapping[str, Any] | None, shards: tuple[Shard, ...], writer: DatasetWriter
) -> int:
    """How many shards are imported already. Raises DatasetError where the source's are others by now."""
    if state is None:
        return 0
    for place, (name, size, sha256) in enumerate(state["shards"]):
        now = shards[place] if place < len(shards) else None
        if now is None or now.name != name or (now.size, now.sha256) != (size, sha256):
            found = "is gone" if now is None else f"is now {now.name} of {now.size} bytes"
            raise DatasetError(
                f"the source has changed since this import was begun: file {place}, {name} of {size} bytes, "
                f"{found}. Restore the source to go on, or delete {writer.making} (`--begin-again` does) to "
                "begin anew."
            )
    return len(state["shards"])


_RANGE = re.compile(r"(?P<first>[0-9]+):(?P<last>[0-9]+)")


def _chosen(found: tuple[Shard, ...], wanted: str | None, format_name: str, url: str) -> tuple[Shard, ...]:
    if not found:
        raise DatasetError(
            f"{url} holds no file that {format_name} reads. Give the folder that holds them, or another format."
        )
    if wanted is None:
        return found
    if match := _RANGE.fullmatch(wanted):
        chosen = found[int(match["first"]) : int(match["last"]) + 1]
    else:
        chosen = tuple(
            shard for shard in found
            if fnmatchcase(shard.name, wanted) or fnmatchcase(shard.name.rsplit("/", 1)[-1], wanted)
        )  # fmt: skip
    if not chosen:
        raise DatasetError(
            f"shards {wanted!r} chooses none of the {len(found)} files of {url}, {found[0].name} to "
            f"{found[-1].name}. Give a glob of their names, or FIRST:LAST, such as 0:{len(found) - 1}."
        )
    return chosen
