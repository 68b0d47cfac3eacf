"""Result tables of a sweep as files: what ``sweep export`` does."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from sweep.analysis.catalog import TABLES
from sweep.analysis.interventions.designs import with_study
from sweep.analysis.table import Table
from sweep.errors import UsageError
from sweep.formats import FORMATS, SUFFIXES
from sweep.reading import read_also, read_for
from sweep.store import Store, files
from sweep.store.places import is_local, root_place


def result_table(
    root: str | Path, name: str, table: str, *, skip_corrupt: bool = False, **options: Any
) -> pd.DataFrame:
    """Table ``table`` of the sweep ``name`` under ``root``.

    ``options`` go to the analysis function of that name (such as ``measure``, ``by``); None means its
    default. Only the measures that the table needs are read. Raises `UsageError` for an unknown table or
    option.
    """
    found = find_table(table)
    given = checked_options(found, options)
    store = Store(root)
    trials = with_study(store.trials(name), store.sweep(name).sweep_record())
    frame = read_for(store, name, found, given, skip_corrupt=skip_corrupt)
    also = read_also(store, name, found, given, skip_corrupt=skip_corrupt)
    return found.build(trials, frame, **also, **given)


def find_table(name: str) -> Table:
    """The table of that name. Raises `UsageError` for one that does not exist."""
    found = TABLES.get(name)
    if found is None:
        raise _unknown("table", name, list(TABLES))
    return found


def checked_options(table: Table, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``options`` that are given (None is not), text parsed. Raises `UsageError` for one it does not take."""
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        if key not in table.options:
            allowed = f"it takes {', '.join(table.options)}" if table.options else "it takes none"
            raise UsageError(f"table {table.name!r} has no option {key!r}: {allowed}. Leave {key!r} out.")
        if isinstance(value, str):
            given[key] = table.options[key].parse(key, value)
    return given


def export(
    root: str | Path,
    name: str,
    table: str,
    formats: Sequence[str] = ("csv",),
    out: str | Path | None = None,
    *,
    stream: BinaryIO | None = None,
    columns: Sequence[str] | None = None,
    skip_corrupt: bool = False,
    **options: Any,
) -> list[Path]:
    """Write a table, or the ``columns`` of it in that order, in each of ``formats`` and return the files;
    without ``out``, to ``stream`` (standard output).

    One format and a path that ends in its suffix is that file; otherwise each format adds its own suffix
    (``results`` or ``results.csv`` in csv and latex: ``results.csv``, ``results.tex``). A folder takes files
    named for the table. Each file appears whole or not at all. ``out`` may be s3:// or gs:// (there, what ends in /
    is a folder).

    Raises `UsageError` for an unknown table, column, format or option, for several formats on standard output, and
    for Parquet on a terminal; `StoreError` when a file cannot be written.
    """
    check_output(formats, out, stream)
    frame = result_table(root, name, table, skip_corrupt=skip_corrupt, **options)
    return write_table(frame, table, formats, out, stream=stream, columns=columns)


def check_output(
    formats: Sequence[str], out: str | Path | None = None, stream: BinaryIO | None = None
) -> None:
    """Raise `UsageError` for what `write_table` could not write, before anything is computed."""
    wanted = list(dict.fromkeys(formats))
    for format_ in wanted:
        if format_ not in FORMATS:
            raise _unknown("format", format_, list(FORMATS))
    if not wanted:
        raise UsageError(f"no format given: name one or more of {', '.join(FORMATS)}, such as --format csv.")
    if out is None:
        sink = sys.stdout.buffer if stream is None else stream
        if len(wanted) > 1:
            raise UsageError(
                f"{len(wanted)} formats ({', '.join(wanted)}) on one output: give a path with --out."
            )
        if wanted == ["parquet"] and sink.isatty():
            raise UsageError("parquet is binary and does not belong on a terminal: give a path with --out.")


def write_table(
    frame: pd.DataFrame,
    table: str,
    formats: Sequence[str] = ("csv",),
    out: str | Path | None = None,
    *,
    stream: BinaryIO | None = None,
    columns: Sequence[str] | None = None,
) -> list[Path]:
    """``frame``, which is the table named ``table``, as files: see `export`."""
    check_output(formats, out, stream)
    wanted = list(dict.fromkeys(formats))
    if columns is not None:
        for column in columns:
            if column not in frame.columns:
                raise _unknown("column", column, list(map(str, frame.columns)))
        frame = frame[list(columns)]
    if out is None:
        sink = sys.stdout.buffer if stream is None else stream
        sink.write(FORMATS[wanted[0]](frame))
        sink.flush()
        return []
    paths = destinations(out, table, wanted)
    for path, format_ in paths.items():
        write_file(path, FORMATS[format_](frame))
    return list(paths)


def destinations(out: str | Path, table: str, formats: Sequence[str]) -> dict[Path, str]:
    """The file for each format, in order: see `export`. ``out`` may be in a bucket."""
    path = root_place(out, "--out")
    if (is_local(path) and path.is_dir()) or str(out).endswith(("/", "\\")):
        path = path / table
    elif len(formats) == 1 and path.suffix == SUFFIXES[formats[0]]:
        return {path: formats[0]}
    elif path.suffix in SUFFIXES.values():
        path = path.with_suffix("")
    return {path.with_name(path.name + SUFFIXES[format_]): format_ for format_ in formats}


def write_file(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step, making its folder. Raises `StoreError` naming the path."""
    files.make_folder(path.parent)
    files.replace(path, content)


def _unknown(kind: str, value: str, allowed: Sequence[str]) -> UsageError:
    close = difflib.get_close_matches(value, allowed, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UsageError(f"unknown {kind} {value!r}: it must be one of {', '.join(allowed)}.{hint}")
