"""Reading the compacted parts of a table: all at once, or a row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sweep.errors import CorruptSegmentError
from sweep.store import files, manifest, segments
from sweep.store.exactly_once import with_dictionary
from sweep.store.layout import Layout, Table
from sweep.store.manifest import Manifest

__all__ = ["Reduce", "checked", "measured", "scan", "schema"]

Reduce = Callable[[Any], Any]
"""From rows (`pyarrow.Table`, in order of trial and step, `trial_id` a dictionary) to those that are wanted of
them. Reducing a whole must give the same as reducing all that its pieces were reduced to."""


def schema(path: Path) -> Any:
    """A part's `pyarrow.Schema`."""
    import pyarrow.parquet as pq

    with files.open_file(path) as file:
        return pq.read_schema(file)


def measured(paths: list[Path]) -> list[str]:
    """The columns that hold a value in any part, by the statistics of row groups, in order."""
    import pyarrow.parquet as pq

    found: dict[str, None] = {}
    for path in paths:
        with files.open_file(path) as file:
            about = pq.read_metadata(file)
        for number in range(about.num_row_groups):
            group = about.row_group(number)
            for place in range(group.num_columns):
                column = group.column(place)
                statistics = column.statistics
                if (
                    statistics is None
                    or statistics.null_count is None
                    or statistics.null_count < group.num_rows
                ):
                    found[column.path_in_schema.partition(".")[0]] = None
    return list(found)


def checked(
    layout: Layout, table: Table, current: Manifest, skipped: list[CorruptSegmentError] | None
) -> list[Path]:
    """The parts that are what the manifest says. Raises CorruptSegmentError, or notes it in `skipped`."""
    paths = []
    for part in current.of(table):
        try:
            manifest.check_part(layout, part)
        except CorruptSegmentError as error:
            if skipped is None:
                raise
            skipped.append(error)
        else:
            paths.append(part.path(layout))
    return paths


def scan(
    paths: list[Path],
    schema: Any,
    columns: list[str],
    expression: Any,
    skipped: list[CorruptSegmentError] | None,
    reduce: Reduce | None,
    *,
    plain: bool,
) -> Any:
    """The wanted rows of the parts, `trial_id` a dictionary; where one is damaged, and that is allowed, of
    its sound row groups. With `reduce`, what it makes of each row group.

    `plain`: read `trial_id` as text, so that the statistics of row groups can be compared with a filter.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    if plain:
        schema = schema.set(schema.get_field_index("trial_id"), pa.field("trial_id", pa.string()))
    style = ds.ParquetFileFormat(
        dictionary_columns=[] if plain else ["trial_id"],
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(
            pre_buffer=True, page_checksum_verification=True
        ),
    )
    where = files.arrow_filesystem(paths[0])
    dataset = ds.dataset(
        [files.arrow_name(path) for path in paths], schema=schema, format=style, filesystem=where
    )

    def read(source: Any, **given: Any) -> Any:
        rows = source.to_table(columns=columns, filter=expression, **given)
        rows = with_dictionary(rows) if "trial_id" in columns else rows
        return rows if reduce is None else reduce(rows)

    if reduce is None:
        try:
            return read(dataset)
        except (pa.ArrowException, OSError):
            pass  # somewhere in these files; read them piece by piece to name it
    tables = [with_dictionary(schema.empty_table()).select(columns)]
    for path, fragment in zip(paths, dataset.get_fragments(), strict=True):
        tables.extend(_row_groups(path, fragment, partial(read, schema=schema), skipped))
    return pa.concat_tables(tables)


def _row_groups(
    path: Path, part: Any, read: Callable[[Any], Any], skipped: list[CorruptSegmentError] | None
) -> Iterator[Any]:
    """What `read` makes of each row group of a part, damaged ones left out if that is allowed."""
    import pyarrow as pa

    sound = True
    for group in part.split_by_row_group():
        try:
            yield read(group)
        except (pa.ArrowException, OSError) as error:
            if skipped is None:
                raise segments.damaged(path, str(error)) from error
            if sound:
                skipped.append(segments.damaged(path, str(error)))
            sound = False
