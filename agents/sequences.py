"""Sequences for recurrent agents: windows of episodes, from the sampler to the network's input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.data import Dataset, Transitions
from agents.episodes import EpisodeRuns, Ints
from agents.errors import AgentError
from agents.prefetch import HostGather, Lookahead
from agents.randomness import minibatch_positions
from agents.sampling import ceil_share, prefix_order
from agents.spec import LearnerShape, MemberHypers
from agents.transitions import PREFETCH_STEPS, BatchReader


@dataclass(frozen=True)
class Windows:
    """Windows of runs: where in the dataset's order the run begins, its length, the window's first learnt place.

    int64, any leading axes. A run is what ``EpisodeRuns`` says, cut at the member's prefix.
    """

    begin: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]

    def at(self, row: int) -> Windows:
        """Those of one step."""
        return Windows(self.begin[row], self.count[row], self.start[row])


class SequenceBatch(NamedTuple):
    """L consecutive transitions each, leaves ``[N, B, L, ...]``.

    ``observations`` ``[N, B, L + 1, *observation_shape]`` float32: s of each transition and s' of the last;
    ``action``, ``reward`` and ``discount`` as in ``Batch``; ``valid`` bool, False where a window reaches beyond its
    episode: there observations repeat, and rewards and discounts are 0; ``learns`` bool, ``valid`` without the
    burn-in. A recurrent state belongs to zero until ``valid`` begins.
    """

    observations: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    valid: Tensor
    learns: Tensor


class SequenceSampler:
    """Uniform sampling with replacement from the windows of each member's share of a dataset.

    A window is ``length`` consecutive transitions of one episode: ``burn_in`` of them to warm up a recurrent
    state, the rest to learn from. The learnt parts begin every ``shift`` transitions (None: half of their length,
    as R2D2 of Kapturowski et al. 2019: length 120, burn-in 40, shift 40), the last of an episode where it has to
    begin to end with the episode, so that every transition is learnt from. A window that reaches beyond its
    episode, in front by its burn-in or behind where the episode is shorter, is padded.

    The unit of ``data_fraction`` is the episode: whole ones in the dataset's fixed random order, until they hold
    the fraction of the prefix's transitions. ``data_prefix`` cuts episodes where the prefix ends. What a member
    sees depends on its seed, its share and the step alone. Raises DatasetError as ``EpisodeRuns`` does, and
    AgentError for lengths that do not fit together.
    """

    def __init__(
        self,
        members: Sequence[MemberHypers],
        dataset: Dataset,
        batch_size: int,
        *,
        length: int,
        burn_in: int = 0,
        shift: int | None = None,
    ) -> None:
        self.learnt = length - burn_in
        shift = max(1, self.learnt // 2) if shift is None else shift
        if burn_in < 0 or self.learnt < 1 or not 1 <= shift <= self.learnt:
            raise AgentError(
                f"sequences of length {length} with burn_in {burn_in} and shift {shift} cannot be cut: give "
                "0 <= burn_in < length and 1 <= shift <= length - burn_in, such as 120, 40 and 40."
            )
        self.length, self.burn_in, self.shift, self.batch_size = length, burn_in, shift, batch_size
        self.runs = EpisodeRuns(dataset)
        self.seeds = [member.seed for member in members]
        shares = {(one.data_prefix, one.data_fraction) for one in members}
        cut = {share: self._cut(dataset, *share) for share in shares}
        self._shares = [cut[member.data_prefix, member.data_fraction] for member in members]

    def windows(self, first_step: int, steps: int) -> Windows:
        """Windows of steps ``first_step`` … ``first_step + steps - 1``, each ``[steps, members, B]``."""
        drawn = [
            share.draw(minibatch_positions(seed, first_step, steps, self.batch_size), self.learnt, self.shift)
            for seed, share in zip(self.seeds, self._shares, strict=True)
        ]
        begin, count, start = (
            np.stack([getattr(one, name) for one in drawn], axis=1) for name in ("begin", "count", "start")
        )
        return Windows(begin, count, start)

    def rows(self, windows: Windows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Transition numbers ``[..., L]`` and whether each belongs to the window; where not, a neighbour."""
        return self.runs.rows(*self._places(windows, 0, self.length))

    def frames(self, windows: Windows, stack: int) -> npt.NDArray[np.int64]:
        """Frame numbers ``[..., L + stack]``: ``stack`` of them from place t on are the observation at t."""
        return self.runs.frames(*self._places(windows, 1 - stack, self.length + 1))

    def _places(self, windows: Windows, first: int, last: int) -> tuple[Ints, Ints, Ints]:
        places = windows.start[..., None] - self.burn_in + np.arange(first, last)
        return windows.begin[..., None], windows.count[..., None], places

    def _cut(self, dataset: Dataset, prefix: float, fraction: float) -> _Share:
        order = prefix_order(dataset.arrays["subset_order"], prefix)
        counts = self.runs.counts_below(len(order))
        kept = np.flatnonzero(counts)
        if fraction < 1:
            rank = np.empty(len(order), np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            # Whole episodes: windows that begin in some of the rows would show nearly all of them.
            kept = kept[np.argsort(rank[self.runs.row(self.runs.begin[kept])])]
            enough = np.searchsorted(np.cumsum(counts[kept]), ceil_share(fraction, len(order)))
            kept = kept[: enough + 1]
        count = counts[kept]
        # One window, and one more for each shift, or part of one, that the episode reaches beyond it.
        windows = 1 - -np.maximum(0, count - self.learnt) // self.shift
        return _Share(self.runs.begin[kept], count, np.cumsum(windows))


@dataclass(frozen=True)
class _Share:
    """A member's runs, and how many windows there are up to and with each."""

    begin: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    windows: npt.NDArray[np.int64]

    def draw(self, positions: npt.NDArray[np.float64], learnt: int, shift: int) -> Windows:
        number = (positions * self.windows[-1]).astype(np.int64)
        run = np.searchsorted(self.windows, number, side="right")
        count = self.count[run]
        nth = number - np.where(run > 0, self.windows[run - 1], 0)
        # R2D2 begins an episode's first window with its burn-in; here the learnt part begins there.
        return Windows(self.begin[run], count, np.minimum(nth * shift, np.maximum(count - learnt, 0)))


class _Stored(NamedTuple):
    """Windows as they are stored: ``frames`` ``[N, B, L + K, *frame_shape]``, the others ``[N, B, L, ...]``."""

    frames: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    valid: Tensor


class SequenceReader:
    """Reads sequences of a pack; what ``BatchReader`` is to transitions.

    Frames travel once, as uint8, and are stacked and scaled on the device.
    """

    def __init__(
        self,
        placed: tuple[Transitions, torch.device],
        shape: LearnerShape,
        sampler: SequenceSampler,
        *,
        on_host: bool = False,
    ) -> None:
        """Raises AgentError if frames and ``shape.observation_shape`` do not fit together."""
        self.data, self.device = placed
        self.sampler = sampler
        self._reader = BatchReader(placed, shape, on_host=on_host)
        self.stack = self.data.frame_index.shape[1] - 1
        self._host: HostGather[_Stored] | None = None
        self._lookahead = Lookahead(PREFETCH_STEPS)

    def batches(self, windows: Windows) -> Iterator[Any]:
        """What ``read`` needs for each step of ``windows``, prepared ahead; good until the next is asked for."""
        steps, *axes = windows.begin.shape
        if self._reader.gathers_on_device:
            return self._lookahead.run(lambda row: self._numbers(windows.at(row), self.device), steps)
        if self._host is None:
            self._host = HostGather(lambda pin: self._room(tuple(axes), pin), self.device, PREFETCH_STEPS)

        def fill(row: int, out: _Stored) -> None:
            self._gather(*self._numbers(windows.at(row), torch.device("cpu")), out=out)

        return map(tuple, self._host.batches(fill, steps))

    def read(self, selected: Any) -> SequenceBatch:
        """The sequences: images stacked and scaled to [0, 1], rewards clipped if the shape says so."""
        stored = self._gather(*selected) if self._reader.gathers_on_device else _Stored(*selected)
        valid, action = stored.valid, stored.action
        place = torch.arange(self.sampler.length, device=self.device)
        return SequenceBatch(
            observations=self._reader.as_input(self._stacked(stored.frames)),
            action=action if action.is_floating_point() else action.long(),
            reward=torch.where(valid, self._reader.clipped(stored.reward), 0.0),
            discount=torch.where(valid, stored.discount.float(), 0.0),
            valid=valid,
            learns=valid & (place >= self.sampler.burn_in),
        )

    def _numbers(self, windows: Windows, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        rows, valid = self.sampler.rows(windows)
        frames = self.sampler.frames(windows, self.stack)
        if self.data.frame_file is not None:
            self.data.frame_file.read_ahead(frames)
        return tuple(torch.from_numpy(part).to(device) for part in (frames, rows, valid))  # type: ignore[return-value]

    def _gather(self, frames: Tensor, rows: Tensor, valid: Tensor, out: _Stored | None = None) -> _Stored:
        data = self.data
        picked = ((data.frames, frames), (data.action, rows), (data.reward, rows), (data.discount, rows))
        if torch.compiler.is_compiling():
            frames, action, reward, discount = (source[numbers] for source, numbers in picked)
            return _Stored(frames, action, reward, discount, valid)
        stored = self._room(tuple(rows.shape[:-1])) if out is None else out
        for (source, numbers), target in zip(picked, stored[:4], strict=True):
            flat = numbers.reshape(-1)
            torch.index_select(source, 0, flat, out=target.view(len(flat), *source.shape[1:]))
        stored.valid.copy_(valid)
        return stored

    def _room(self, axes: tuple[int, ...], pin_memory: bool = False) -> _Stored:
        data, length = self.data, self.sampler.length

        def room(source: Tensor, extent: int) -> Tensor:
            form = (*axes, extent, *source.shape[1:])
            return torch.empty(form, dtype=source.dtype, device=source.device, pin_memory=pin_memory)

        valid = torch.empty(
            (*axes, length), dtype=torch.bool, device=data.frames.device, pin_memory=pin_memory
        )
        action, reward, discount = (room(part, length) for part in (data.action, data.reward, data.discount))
        return _Stored(room(data.frames, length + self.stack), action, reward, discount, valid)

    def _stacked(self, frames: Tensor) -> Tensor:
        """``[N, B, L + K, *frame_shape]`` to ``[N, B, L + 1, *observation_shape]``."""
        if self.stack == 1:
            return frames
        stacks = torch.stack(
            [frames[:, :, first : first + self.sampler.length + 1] for first in range(self.stack)], dim=3
        )
        return stacks.flatten(3, 4) if stacks.dim() == 7 else stacks
