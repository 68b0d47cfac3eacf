"""`sweep data import`."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from sweep.cli.common import Root, console
from sweep.cli.display import duration
from sweep.errors import UsageError

if TYPE_CHECKING:
    from agents.data.importers.engine import Import, ImportProgress
    from agents.data.importers.progress import OnProgress
    from agents.data.unfinished import Unfinished

__all__ = ["how_to_go_on", "import_data", "size"]

_PLAIN_SECONDS = 15.0
_SHOWN_BAD = 5


def import_data(
    format_name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="One of the formats above.", show_default=False)
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A folder or file: local, gs://, s3:// or https://.", show_default=False
        ),
    ],
    root: Root,
    name: Annotated[str, typer.Option(metavar="NAME", help="The dataset's name.", show_default=False)],
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ENV", help="The environment, where the source's folders do not tell; `sweep data envs`."
        ),
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB|FIRST:LAST",
            help="Only these files: a glob of their names, or places from 0, the last included, such as 0:9.",
        ),
    ] = None,
    max_transitions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after so many.")
    ] = None,
    skip_bad_records: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Leave out up to N records that cannot be used, and list them."
        ),
    ] = 0,
    checksums: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="SHA-256 sums of the files, as sha256sum writes them. [default: SHA256SUMS there]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the format; a wrong one lists those there are."),
    ] = None,
    begin_again: Annotated[
        bool, typer.Option("--begin-again", help="Discard an unfinished import of this name.")
    ] = False,
) -> None:
    """Make a dataset of what others recorded.

    An import that ended early, whatever ended it, goes on from its last finished file when the same command is
    given again; until it is whole, no dataset is there.

    Examples, one for each format:

    - `rlu-atari`: RL Unplugged, Atari transitions.
      `sweep data import rlu-atari gs://rl_unplugged/atari/Pong --name pong --option run=run_1 --shards 0:1`

    - `rlu-atari-ordered`: RL Unplugged, Atari episodes by training checkpoint.
      `sweep data import rlu-atari-ordered gs://rl_unplugged/atari_episodes_ordered/Pong --name pong-ordered`

    - `rlu-bsuite`: RL Unplugged, bsuite.
      `sweep data import rlu-bsuite gs://rl_unplugged/bsuite/catch/0_0.0 --name catch-rlu`

    - `rlu-dmlab`: RL Unplugged, DeepMind Lab.
      `sweep data import rlu-dmlab gs://rl_unplugged/dmlab/seekavoid_arena_01/training_0 --name lab --shards 0:4`

    - `dqn-replay`: Dopamine's replay buffers.
      `sweep data import dqn-replay /data/dqn/Pong/1/replay_logs --name pong-replay`

    - `d4rl`: D4RL's HDF5, by name or by file.
      `sweep data import d4rl hopper-medium-v2 --name hopper-medium`

    - `minari`: Minari's folders, HDF5 or Arrow.
      `sweep data import minari ~/.minari/datasets/D4RL/door/human-v2 --name door`

    - `cog`: COG's npy buffers.
      `sweep data import cog ~/cog/drawer --name cog-drawer`

    - `rankscope`: a dataset of another root.
      `sweep data import rankscope s3://bucket/datasets/catch --name catch`
    """
    from agents.data.importers.checksums import read_checksums
    from agents.data.importers.engine import prepare_import
    from agents.errors import DatasetError
    from sweep.dataset_upload import made_in_place
    from sweep.node_folder import node_folder
    from sweep.store.places import is_local

    options = _options(option or [])
    if env is not None:
        options["env"] = env
    asked = json.dumps([format_name, source, options, shards, max_transitions, skip_bad_records])
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(made_in_place(root, name, asked))
            prepared = None
            # There already where an earlier process ended before all of it was in the bucket.
            if is_local(root) or not path.exists():
                prepared = prepare_import(
                    format_name,
                    source,
                    path,
                    options=options,
                    shards=shards,
                    max_transitions=max_transitions,
                    skip_bad_records=skip_bad_records,
                    checksums=None if checksums is None else read_checksums(checksums),
                    cache=node_folder(root) / "cache" / "sources",
                    begin_again=begin_again,
                )
        except DatasetError as error:
            raise UsageError(str(error)) from error
        if prepared is not None:
            _with_progress(prepared, name)
    _say_result(root, name, time.monotonic() - began)


def how_to_go_on(one: Unfinished) -> str:
    """The command that goes on with an unfinished import."""
    import shlex

    asked = one.asked
    words = ["sweep", "data", "import", asked["format"], asked["source"], "--name", one.name]
    for key, value in asked.get("options", {}).items():
        words += ["--env", value] if key == "env" else ["--option", f"{key}={value}"]
    for key in ("shards", "max_transitions"):
        if asked.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", str(asked[key])]
    words += ["--root", str(one.path.parent.parent)]
    return shlex.join(words)


def size(count: float) -> str:
    """Bytes in words, such as ``7.06 kB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _options(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise UsageError(f"--option {one!r} is not KEY=VALUE, such as --option run=run_1")
        found[key] = value
    return found


def _with_progress(prepared: Import, name: str) -> None:
    if not console.is_terminal:
        prepared.run(_plain_lines(name))
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(12), TaskProgressColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None, pace="")

        def advance(now: ImportProgress) -> None:
            total, done = (
                (now.shards, now.shards_done)
                if now.bytes_total is None
                else (now.bytes_total, now.bytes_read)
            )
            bar.update(task, total=total, completed=done, pace=_short_pace(now))

        prepared.run(advance)


def _plain_lines(name: str) -> OnProgress:
    said = time.monotonic()

    def line(now: ImportProgress) -> None:
        nonlocal said
        if time.monotonic() - said >= _PLAIN_SECONDS:
            said = time.monotonic()
            console.print(f"{name}: {_pace(now)}", highlight=False, soft_wrap=True)

    return line


def _short_pace(now: ImportProgress) -> str:
    """What stands beside a bar in 80 columns."""
    if now.shards_done == now.shards:
        return f"{now.transitions:,} transitions · hashing the arrays"
    bad = f" · {now.bad_records:,} skipped" if now.bad_records else ""
    return (
        f"{now.transitions:,} ({now.transitions_per_second:,.0f}/s) · {size(now.bytes_per_second)}/s · "
        f"left {duration(now.seconds_left)}{bad}"
    )


def _pace(now: ImportProgress) -> str:
    parts = [
        f"files {now.shards_done}/{now.shards}",
        f"{now.transitions:,} transitions ({now.transitions_per_second:,.0f}/s)",
        f"{now.frames:,} frames",
        f"{size(now.bytes_read)} ({size(now.bytes_per_second)}/s)",
        f"left {duration(now.seconds_left)}",
    ]
    if now.bad_records:
        parts.append(f"{now.bad_records:,} bad records skipped")
    return " · ".join(parts)


def _say_result(root: Path, name: str, seconds: float) -> None:
    from agents.data import read_manifest

    path = root / "datasets" / name
    manifest = read_manifest(path)
    imported: dict[str, Any] = manifest.provenance.get("import") or {}
    if "copied" in manifest.provenance:
        imported = {}  # how the dataset that was copied came to be
    rate = imported.get("transitions_per_second")
    if rate:
        pace = f"{rate:,.0f} transitions/s, {size(imported['bytes_per_second'])}/s"
    else:
        pace = f"{manifest.transitions / max(seconds, 1e-9):,.0f} transitions/s"
    mean = "" if manifest.mean_return is None else f" of mean return {manifest.mean_return:.4g}"
    console.print(
        f"made {path}: {manifest.transitions:,} transitions, {manifest.episodes:,} whole episodes{mean}, "
        f"{size(manifest.size_bytes)}, fingerprint {manifest.fingerprint[:12]}, at {pace}",
        highlight=False,
        soft_wrap=True,
    )
    bad = imported.get("bad_records", {"count": 0, "first": []})
    if bad["count"]:
        console.print(f"[yellow]{bad['count']:,} bad records were left out:[/yellow]", highlight=False)
        for one in bad["first"][:_SHOWN_BAD]:
            where = f"{one['shard']}, record {one['record']:,}, key {one['key']!r}: {one['why']}"
            console.print(f"  {escape(where)}", highlight=False, soft_wrap=True)
        if bad["count"] > _SHOWN_BAD:
            console.print("  … `sweep data show` has more of them", highlight=False)
    console.print(f"next: sweep data show {name} --root {root}", highlight=False, soft_wrap=True)
