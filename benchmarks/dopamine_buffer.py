"""A replay buffer that samples as Dopamine's ``circular_replay_buffer.py`` (google/dopamine) does; own code.

Facts kept: single frames in a ring, uniform indices drawn one by one and rejected where a stack would cross an
episode's end or the ring's cursor, a Python loop over the batch with the terminal look-up and discounts of n-step
returns for every element, stacks as the last axis.
"""

from __future__ import annotations

import numpy as np

from agents.data import Dataset

STACK = 4


class CircularBuffer:
    """The transitions of one environment after another, frames once; the ring is full and its cursor at 0."""

    def __init__(self, dataset: Dataset, transitions: int, batch_size: int) -> None:
        rows = np.argsort(dataset.arrays["episode"], kind="stable")[:transitions]
        self.batch_size, self.capacity = batch_size, transitions
        self.observation = dataset.arrays["frames"][dataset.arrays["frame_index"][rows, STACK - 1]]
        self.action = dataset.arrays["action"][rows]
        self.reward = dataset.arrays["reward"][rows]
        self.terminal = (dataset.arrays["discount"][rows] == 0).astype(np.uint8)
        self.invalid = {*range(STACK)} | {(transitions - 1) % transitions}
        self.discounts = np.array([0.99**n for n in range(1)], np.float32)
        self.draws = np.random.default_rng(0)

    def sample(self) -> tuple[np.ndarray, ...]:
        """s and s' uint8 ``[B, 84, 84, 4]``, action, reward, terminal and index ``[B]``."""
        size, frame = self.batch_size, self.observation.shape[1:]
        state = np.empty((size, *frame, STACK), np.uint8)
        next_state = np.empty_like(state)
        action, reward = np.empty(size, np.int32), np.empty(size, np.float32)
        terminal, index = np.empty(size, np.uint8), np.empty(size, np.int64)
        for place, at in enumerate(self._indices()):
            trajectory = [(at + step) % self.capacity for step in range(1)]
            terminals = self.terminal[trajectory]
            length = int(np.argmax(terminals)) + 1 if terminals.any() else 1
            state[place] = self._stack(self.observation, at)
            next_state[place] = self._stack(self.observation, (at + length) % self.capacity)
            action[place] = self.action[at]
            reward[place] = np.sum(self.discounts[:length] * self.reward[trajectory[:length]])
            terminal[place] = terminals.any()
            index[place] = at
        return state, next_state, action, reward, terminal, index

    def _indices(self) -> list[int]:
        found: list[int] = []
        while len(found) < self.batch_size:
            at = int(self.draws.integers(STACK - 1, self.capacity - 1)) % self.capacity
            if self._valid(at):
                found.append(at)
        return found

    def _valid(self, at: int) -> bool:
        if at < 0 or at >= self.capacity or at in self.invalid:
            return False
        return not self._range(self.terminal, at - STACK + 1, at + 1)[:-1].any()

    def _stack(self, array: np.ndarray, at: int) -> np.ndarray:
        return np.moveaxis(self._range(array, at - STACK + 1, at + 1), 0, -1)

    def _range(self, array: np.ndarray, first: int, last: int) -> np.ndarray:
        if first >= 0 and last <= self.capacity:
            return array[first:last]
        return np.array([array[place % self.capacity] for place in range(first, last)])
