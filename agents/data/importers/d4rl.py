"""D4RL's HDF5 files, cut into transitions as ``d4rl.qlearning_dataset`` cuts them (Fu et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.d4rl_names import HOST, Entry, by_file, by_name
from agents.data.importers.hdf5 import array_at, open_hdf5, read_rows
from agents.data.importers.known_environments import runs_here
from agents.data.importers.options import check_options, positive, yes_or_no
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import EnvironmentSpec
from agents.errors import DatasetError

if TYPE_CHECKING:
    import h5py

__all__ = ["READER", "D4RLReader"]

_KEYS = ("observations", "actions", "rewards", "terminals")
_NAMES = {"frames": "observations", "action": "actions", "reward": "rewards", "discount": "terminals"}
_PART_ROWS = 250_000
_BLOCK_BYTES = 16 * 2**20
_OPTIONS = {
    "dataset": "the name, such as hopper-medium-v2, where the file has another one",
    "env": "the environment's id, such as mujoco/Hopper",
    "terminate_on_end": "true keeps an episode's last step at a time limit, as d4rl's argument does (false)",
    "max_episode_steps": "the time limit of files that have no key timeouts",
    "clip_actions": "true brings actions outside the action space to its border (false: they are bad records)",
    "mirror": "an address that takes the place of D4RL's host, with the same folders below it",
}


@dataclass(frozen=True)
class _Part(Shard):
    """Rows ``first`` to before ``stop``, whole episodes: the unit that an import goes on from."""

    file: Shard | None = None
    first: int = 0
    stop: int = 0


@dataclass(frozen=True)
class _Cut:
    """Rows ``first`` to ``last`` (inclusive) are an episode; ``kept``: its first so many are transitions."""

    first: int
    last: int
    kept: int
    ended: bool


class D4RLReader:
    """Reads one file; each row is a record."""

    format = "d4rl"
    title = "D4RL: HDF5 with flat arrays, by file or by name (halfcheetah-medium-v2)"

    def locate(self, source: str, options: Mapping[str, str]) -> str:
        """The address of a D4RL name, at the mirror where one is given. Raises DatasetError for another name."""
        if "/" in source or Path(source).exists():
            return source
        url = by_name(source).url
        mirror = options.get("mirror")
        return url if mirror is None else f"{mirror.rstrip('/')}/{url.removeprefix(HOST)}"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``; looks into the file, so that a remote one is fetched first."""
        check_options(self.format, options, _OPTIONS)
        shards = [*source.list("*.hdf5"), *source.list("*.h5")]
        if len(shards) != 1:
            found = ", ".join(shard.name for shard in shards) or "none"
            raise DatasetError(
                f"{source.url} must be one HDF5 file or hold exactly one; found {found}. Give the file itself."
            )
        shard = shards[0]
        entry = by_name(options["dataset"]) if "dataset" in options else by_file(Path(shard.name).name)
        ends, clip = yes_or_no(options, "terminate_on_end"), yes_or_no(options, "clip_actions")
        local = source.localise(shard)
        # A web server may not have said how large the file is.
        shard = replace(shard, size=local.stat().st_size)
        with open_hdf5(local, shard.name) as file:
            data = _described(file, shard.name, entry)
            limit = positive(options, "max_episode_steps") or (entry.max_episode_steps if entry else None)
            if "timeouts" not in file and limit is None:
                raise DatasetError(
                    f"{shard.name} has no key 'timeouts', so where its episodes end depends on the time limit, "
                    "which is not known for this file. Give it by the option max_episode_steps."
                )
            limit = None if "timeouts" in file else limit
            parts = _parts(shard, list(_cuts(file, shard.name, limit, ends)))
        candidates = () if entry is None else entry.env_ids
        spec, why_not = runs_here(candidates, data, wanted=options.get("env"))
        return ImportPlan(
            environment=spec,
            shards=parts,
            keys=_NAMES,
            provenance={
                "dataset": entry.name if entry else None,
                "terminate_on_end": ends,
                "clip_actions": clip,
                "time_limit_steps": limit,
                "no_evaluation_because": why_not,
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: whole episodes, about 16 MiB of rows in memory."""
        assert isinstance(shard, _Part)
        assert shard.file is not None
        spec, chosen, name = plan.environment, plan.provenance, shard.file.name
        with open_hdf5(source.localise(shard.file), name) as file:
            arrays = {key: array_at(file, key, name) for key in _KEYS}
            rows = len(arrays["rewards"])
            every = _cuts(file, name, chosen["time_limit_steps"], chosen["terminate_on_end"])
            cuts = (cut for cut in every if shard.first <= cut.first < shard.stop)
            row_bytes = 4 * int(np.prod(spec.observation_shape)) + 4 * int(np.prod(spec.action_shape)) + 8
            for batch in _batches(cuts, max(1, _BLOCK_BYTES // row_bytes)):
                first, stop = batch[0].first, batch[-1].last + 1
                here = {
                    key: read_rows(arrays[key], first, min(stop + (key == "observations"), rows), name)
                    for key in _KEYS
                }
                for cut in batch:
                    yield _block(here, cut, first, spec, chosen["clip_actions"])


def _block(
    here: Mapping[str, npt.NDArray[Any]], cut: _Cut, offset: int, spec: EnvironmentSpec, clip: bool
) -> EpisodeBlock:
    start, stop = cut.first - offset, cut.first - offset + cut.kept
    action = here["actions"][start:stop].reshape(cut.kept, *spec.action_shape)
    if spec.continuous:
        action = action.astype(np.float32)
        if clip:
            action = np.clip(action, spec.action_low, spec.action_high)
    logged = here["rewards"][start : cut.last + 1 - offset].astype(np.float64)
    return EpisodeBlock(
        record=cut.first,
        # The row after a terminal one is the next episode's first: qlearning_dataset takes it as s' all the
        # same, and its discount is 0.
        frames=here["observations"][start : stop + 1].astype(spec.observation_dtype, copy=False),
        action=action,
        reward=here["rewards"][start:stop].astype(np.float32).reshape(cut.kept),
        discount=(here["terminals"][start:stop].reshape(cut.kept) == 0).astype(np.float32),
        rows=True,
        # The last step's reward is not checked where it is no transition.
        complete=cut.ended and bool(np.isfinite(logged).all()),
        # With the reward of a last step that is no transition.
        episode_return=float(logged.sum()),
    )


def _parts(file: Shard, cuts: list[_Cut]) -> tuple[_Part, ...]:
    """Shares of the file of about as many rows, in the order of their rows."""
    starts: list[int] = []
    for cut in cuts:
        if not starts or cut.first - starts[-1] >= _PART_ROWS:
            starts.append(cut.first)
    rows = cuts[-1].last + 1 if cuts else 0
    size = (file.size or 0) / max(rows, 1)
    return tuple(
        _Part(
            f"{file.name} rows {first} to {stop - 1}",
            int(size * (stop - first)),
            file.sha256,
            file,
            first,
            stop,
        )
        for first, stop in pairwise([*starts, rows])
    )


def _batches(cuts: Iterator[_Cut], most_rows: int) -> Iterator[list[_Cut]]:
    """Cuts that are read at once, of at most ``most_rows`` rows; a longer one is divided."""
    batch: list[_Cut] = []
    for cut in cuts:
        if batch and cut.last + 1 - batch[0].first > most_rows:
            yield batch
            batch = []
        while cut.kept > most_rows:
            yield [_Cut(cut.first, cut.first + most_rows - 1, most_rows, False)]
            cut = _Cut(cut.first + most_rows, cut.last, cut.kept - most_rows, False)
        batch.append(cut)
    if batch:
        yield batch


def _cuts(file: h5py.File, name: str, limit: int | None, terminate_on_end: bool) -> Iterator[_Cut]:
    """The episodes that have a transition. The last row of the file never is one: it has no following row."""
    terminals = array_at(file, "terminals", name)
    rows = len(terminals)
    terminal = np.asarray(read_rows(terminals, 0, rows, name)).reshape(-1) != 0
    if limit is None:
        timeout = np.asarray(read_rows(array_at(file, "timeouts", name), 0, rows, name)).reshape(-1) != 0
    else:
        timeout = _timeouts(terminal, limit, terminate_on_end)
    ends = np.flatnonzero(terminal | timeout)
    lasts = [*ends.tolist()]
    if not lasts or lasts[-1] != rows - 1:
        lasts.append(rows - 1)
    first = 0
    for last in lasts:
        kept = last + 1 - first
        if last == rows - 1 or (timeout[last] and not terminate_on_end):
            kept -= 1
        if kept > 0:
            yield _Cut(first, last, kept, bool(terminal[last] or timeout[last]))
        first = last + 1


def _timeouts(terminal: npt.NDArray[np.bool_], limit: int, terminate_on_end: bool) -> npt.NDArray[np.bool_]:
    """Where qlearning_dataset sees the time limit in a file that does not say it."""
    timeout = np.zeros(len(terminal), np.bool_)
    terminals = np.flatnonzero(terminal)
    row, step = 0, 0
    while row < len(terminal):
        at_limit = row + limit - 1 - step if step < limit else len(terminal)
        position = np.searchsorted(terminals, row)
        ended = int(terminals[position]) if position < len(terminals) else len(terminal)
        if ended < at_limit:
            # Its count is set to 0 at an end that it keeps and then raised by that very step, so that the
            # next episode begins at 1.
            row, step = ended + 1, 1
        else:
            if at_limit < len(terminal):
                timeout[at_limit] = True
            row, step = at_limit + 1, 1 if terminate_on_end else 0
    return timeout


def _described(file: h5py.File, name: str, entry: Entry | None) -> EnvironmentSpec:
    """What the arrays say of the environment; raises DatasetError where they do not fit together."""
    arrays = {key: array_at(file, key, name) for key in _KEYS}
    if "timeouts" in file:
        arrays["timeouts"] = array_at(file, "timeouts", name)
    rows = len(arrays["rewards"])
    for key, array in arrays.items():
        width = array.shape[1:]
        if len(array) != rows:
            raise DatasetError(
                f"{name}: key {key!r} has {len(array):,} rows, 'rewards' has {rows:,}. Every array must have a "
                "row a step."
            )
        if key in ("rewards", "terminals", "timeouts") and int(np.prod(width)) != 1:
            raise DatasetError(
                f"{name}: key {key!r} has rows of shape {width}; it must hold one number a step"
            )
        if array.dtype.kind not in "biuf":
            raise DatasetError(f"{name}: key {key!r} is {array.dtype}; it must hold numbers")
    if rows < 2:
        raise DatasetError(f"{name} has {rows} rows: a transition takes two")
    observations, actions = arrays["observations"], arrays["actions"]
    if observations.ndim < 2:
        raise DatasetError(
            f"{name}: key 'observations' has shape {observations.shape}; it must have a row a step and a column "
            "a number"
        )
    discrete = actions.dtype.kind in "iu" and int(np.prod(actions.shape[1:])) == 1
    number = int(np.max(actions[:])) + 1 if discrete else 0
    return EnvironmentSpec(
        env_id=f"d4rl/{entry.name if entry else Path(name).stem}",
        observation_shape=tuple(observations.shape[1:]),
        observation_dtype="uint8" if observations.dtype == np.uint8 else "float32",
        num_actions=number,
        action_shape=() if discrete else tuple(actions.shape[1:]) or (1,),
        score_reference=entry.score if entry else None,
        requires="",
    )


READER = D4RLReader()
