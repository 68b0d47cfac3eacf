"""From windows of episodes to minibatches of sequences, and to histories of single transitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.columns import Columns
from agents.data import Transitions
from agents.networks.recurrent import History
from agents.objectives import Batch
from agents.objectives.sequences import SequenceBatch
from agents.prefetch import HostGather, Lookahead
from agents.sequences import SequenceSampler, Windows
from agents.spec import LearnerShape
from agents.transitions import PREFETCH_STEPS, BatchReader

HISTORY_BYTES = 2**30
"""Most memory that the histories of ``batch_at``, and the passes of one member over them, are to take."""


class _Stored(NamedTuple):
    """Windows as they are stored: ``frames`` ``[N, B, L + K, *frame_shape]``, the others ``[N, B, L, ...]``.

    ``number`` and ``handover`` are the windows' own, ``[N, B]``.
    """

    frames: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    valid: Tensor
    number: Tensor
    handover: Tensor


class _Numbers(NamedTuple):
    """Where windows lie: ``frames`` ``[N, B, L + K]``, ``rows`` and ``valid`` ``[N, B, L]``; and the windows' own."""

    frames: Tensor
    rows: Tensor
    valid: Tensor
    number: Tensor
    handover: Tensor


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
        self.sampler, self.shape = sampler, shape
        self._reader = BatchReader(placed, shape, on_host=on_host)
        self.stack = self.data.frame_index.shape[1] - 1
        self._host: HostGather[_Stored] | None = None
        self._lookahead = Lookahead(PREFETCH_STEPS)

    def stage(self, windows: Windows) -> Windows:
        """See ``BatchReader.stage``; numbers of sequences are worked out step by step."""
        return windows

    def batches(self, windows: Windows) -> Iterator[Any]:
        """What ``read`` needs for each step of ``windows``, prepared ahead; good until the next is asked for."""
        steps, *axes = windows.begin.shape
        if self._reader.gathers_on_device:
            return self._lookahead.run(lambda row: self._numbers(windows.at(row), self.device), steps)
        if self._host is None:
            self._host = HostGather(lambda pin: self._room(tuple(axes), pin), self.device, PREFETCH_STEPS)

        def fill(row: int, out: _Stored) -> None:
            self._gather(self._numbers(windows.at(row), torch.device("cpu")), out)

        return map(tuple, self._host.batches(fill, steps))

    def read(self, selected: Any, columns: Columns | None = None) -> SequenceBatch:
        """The sequences ``[N, B, ...]``: images stacked and scaled to [0, 1], rewards clipped if the shape says so.

        Their states are zero. No recurrent objective reads ``columns``.
        """
        stored = self._gather(selected) if self._reader.gathers_on_device else _Stored(*selected)
        valid, action = stored.valid, stored.action
        place = torch.arange(self.sampler.length, device=self.device)
        return SequenceBatch(
            observations=self._reader.as_input(self._stacked(stored.frames)),
            action=action if action.is_floating_point() else action.long(),
            reward=torch.where(valid, self._reader.clipped(stored.reward), 0.0),
            discount=torch.where(valid, stored.discount.float(), 0.0),
            valid=valid,
            learns=valid & (place >= self.sampler.burn_in),
            state=torch.zeros(*valid.shape[:-1], 2, self.shape.lstm_size, device=self.device),
            number=stored.number,
            handover=stored.handover,
        )

    def batch_at(self, chosen: Tensor, first: int, last: int) -> Batch:
        """Transitions ``chosen`` int64 ``[P]`` with what was seen before them; see ``BatchReader.batch_at``.

        ``s_tm1`` and ``s_t`` are ``History``: up to ``sequence_length`` observations of the episode, fewer where the
        longest episode is shorter or they would exceed ``HISTORY_BYTES``.
        """
        steps = self._history_steps(len(chosen))
        frames, valid = self.sampler.history(chosen.cpu().numpy(), steps, self.stack)
        numbers = torch.from_numpy(frames).to(self.data.frames.device)
        observations = self._reader.as_input(self._stacked(self.data.frames[numbers].unsqueeze(0)).squeeze(0))
        whole = torch.from_numpy(valid).to(self.device)
        return self._reader.batch_at(chosen, first, last)._replace(
            s_tm1=History(observations[:, :-1], whole[:, :-1]),  # type: ignore[arg-type]
            s_t=History(observations, whole),  # type: ignore[arg-type]
        )

    def as_input(self, observations: Tensor) -> Tensor:
        """See ``BatchReader.as_input``."""
        return self._reader.as_input(observations)

    @property
    def input_size(self) -> int:
        """Numbers of a history: its observations, and the LSTM's gates and states with as much for a gradient."""
        longest = min(self.sampler.length, int(self.sampler.runs.count.max()))
        return longest * self._step_size

    @property
    def _step_size(self) -> int:
        return self._reader.input_size + 12 * self.shape.lstm_size

    def _history_steps(self, count: int) -> int:
        affordable = HISTORY_BYTES // (4 * count * self._step_size)
        return max(1, min(self.input_size // self._step_size, affordable))

    def _numbers(self, windows: Windows, device: torch.device) -> _Numbers:
        rows, valid = self.sampler.rows(windows)
        frames = self.sampler.frames(windows, self.stack)
        if self.data.frame_file is not None:
            self.data.frame_file.read_ahead(frames)
        parts = (frames, rows, valid, windows.number, windows.handover)
        return _Numbers(*(torch.from_numpy(part).to(device) for part in parts))

    def _gather(self, selected: _Numbers, out: _Stored | None = None) -> _Stored:
        frames, rows, valid, number, handover = selected
        data = self.data
        picked = ((data.frames, frames), (data.action, rows), (data.reward, rows), (data.discount, rows))
        if torch.compiler.is_compiling():
            frames, action, reward, discount = (source[numbers] for source, numbers in picked)
            return _Stored(frames, action, reward, discount, valid, number, handover)
        stored = self._room(tuple(rows.shape[:-1])) if out is None else out
        for (source, numbers), target in zip(picked, stored[:4], strict=True):
            flat = numbers.reshape(-1)
            torch.index_select(source, 0, flat, out=target.view(len(flat), *source.shape[1:]))
        for target, part in zip(stored[4:], (valid, number, handover), strict=True):
            target.copy_(part)
        return stored

    def _room(self, axes: tuple[int, ...], pin_memory: bool = False) -> _Stored:
        data, length = self.data, self.sampler.length

        def room(source: Tensor, extent: int) -> Tensor:
            form = (*axes, extent, *source.shape[1:])
            return torch.empty(form, dtype=source.dtype, device=source.device, pin_memory=pin_memory)

        def numbers(*extents: int, dtype: torch.dtype) -> Tensor:
            form = (*axes, *extents)
            return torch.empty(form, dtype=dtype, device=data.frames.device, pin_memory=pin_memory)

        action, reward, discount = (room(part, length) for part in (data.action, data.reward, data.discount))
        return _Stored(
            room(data.frames, length + self.stack),
            action,
            reward,
            discount,
            numbers(length, dtype=torch.bool),
            numbers(dtype=torch.int64),
            numbers(dtype=torch.int64),
        )

    def _stacked(self, frames: Tensor) -> Tensor:
        """``[N, B, L + K, *frame_shape]`` to ``[N, B, L + 1, *observation_shape]``, for any L."""
        if self.stack == 1:
            return frames
        count = frames.shape[2] - self.stack + 1
        stacks = torch.stack([frames[:, :, first : first + count] for first in range(self.stack)], dim=3)
        return stacks.flatten(3, 4) if stacks.dim() == 7 else stacks
