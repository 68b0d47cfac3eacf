"""bsuite's catch, cartpole, mountain car and memory chain as arithmetic on arrays, a column a slot.

Each class does what the bsuite environment of its name does, in the same order of operations, so that its
numbers are bsuite's to the last bit (tested against bsuite). It is built from a bsuite environment, whose
settings and constants it takes over. ``which`` are the slots concerned, int64 ``[W]``; ``streams`` hold a
RandomState for each of all slots.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Slots = npt.NDArray[np.int64]
Streams = list[np.random.RandomState]


class Dynamics(Protocol):
    """One of bsuite's environments, for any number of slots."""

    def seeded(self, stream: np.random.RandomState) -> None:
        """Draw what bsuite's constructor draws from the stream of one slot, and forget it."""
        ...

    def begin(self, which: Slots, streams: Streams) -> None:
        """Begin an episode in the slots ``which``."""
        ...

    def step(
        self, which: Slots, actions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Take ``actions`` ``[W]`` in the slots ``which``: rewards ``[W]`` and whether it was the last step."""
        ...

    def observe(self, which: Slots) -> npt.NDArray[np.float32]:
        """What the slots ``which`` show, float32 ``[W, D]``."""
        ...


class Catch:
    """A ball falls through a grid, a paddle at the bottom moves left or right."""

    def __init__(self, source: Any, num_envs: int) -> None:
        self.rows, self.columns = source._rows, source._columns
        self.ball_x, self.ball_y, self.paddle = np.zeros((3, num_envs), np.int64)

    def seeded(self, stream: np.random.RandomState) -> None:
        """See ``Dynamics.seeded``."""

    def begin(self, which: Slots, streams: Streams) -> None:
        """See ``Dynamics.begin``."""
        self.ball_x[which] = [streams[slot].randint(self.columns) for slot in which]
        self.ball_y[which] = 0
        self.paddle[which] = self.columns // 2

    def step(
        self, which: Slots, actions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """See ``Dynamics.step``."""
        self.paddle[which] = np.clip(self.paddle[which] + actions - 1, 0, self.columns - 1)
        self.ball_y[which] += 1
        last = self.ball_y[which] == self.rows - 1
        caught = self.paddle[which] == self.ball_x[which]
        return np.where(last, np.where(caught, 1.0, -1.0), 0.0), last

    def observe(self, which: Slots) -> npt.NDArray[np.float32]:
        """See ``Dynamics.observe``."""
        board = np.zeros((len(which), self.rows * self.columns), np.float32)
        row = np.arange(len(which))
        board[row, self.ball_y[which] * self.columns + self.ball_x[which]] = 1
        board[row, (self.rows - 1) * self.columns + self.paddle[which]] = 1
        return board


class Cartpole:
    """A pole on a cart, to be kept upright for ten seconds."""

    def __init__(self, source: Any, num_envs: int) -> None:
        self.physics = source._cartpole_config
        self.timescale, self.max_time = source._timescale, source._max_time
        self.height, self.width = source._height_threshold, source._x_threshold
        # bsuite keeps this number only inside a closure, as a default that no setting changes; a test
        # compares the initial states.
        self.initial = 0.05
        self.x, self.x_dot, self.theta, self.theta_dot, self.time = np.zeros((5, num_envs))

    def seeded(self, stream: np.random.RandomState) -> None:
        """See ``Dynamics.seeded``."""

    def begin(self, which: Slots, streams: Streams) -> None:
        """See ``Dynamics.begin``."""
        draws = np.array([streams[slot].uniform(-self.initial, self.initial, 4) for slot in which])
        for values, column in zip((self.x, self.x_dot, self.theta, self.theta_dot), draws.T, strict=True):
            values[which] = column
        self.time[which] = 0

    def step(
        self, which: Slots, actions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """See ``Dynamics.step``."""
        p, dt = self.physics, self.timescale
        x, x_dot, theta, theta_dot = (
            self.x[which],
            self.x_dot[which],
            self.theta[which],
            self.theta_dot[which],
        )
        total, pole = p.mass_cart + p.mass_pole, p.mass_pole * p.length
        sin, cos = np.sin(theta), np.cos(theta)
        # `float_power` is the C library's pow, as of the scalars in bsuite; `**` on arrays is a product,
        # which rounds otherwise once in a thousand times.
        push = ((actions - 1) * p.force_mag + pole * np.float_power(theta_dot, 2) * sin) / total
        turn = (p.gravity * sin - cos * push) / (
            p.length * (4 / 3 - p.mass_pole * np.float_power(cos, 2) / total)
        )
        self.x[which] = x = x + dt * x_dot
        self.x_dot[which] = x_dot + dt * (push - pole * turn * cos / total)
        self.theta[which] = theta = np.remainder(theta + dt * theta_dot, 2 * np.pi)
        self.theta_dot[which] = theta_dot + dt * turn
        self.time[which] += dt
        upright = (np.cos(theta) > self.height) & (np.abs(x) < self.width)
        return upright.astype(np.float64), (self.time[which] > self.max_time) | ~upright

    def observe(self, which: Slots) -> npt.NDArray[np.float32]:
        """See ``Dynamics.observe``."""
        shown = np.empty((len(which), 6), np.float32)
        theta = self.theta[which]
        shown[:, 0] = self.x[which] / self.width
        shown[:, 1] = self.x_dot[which] / self.width
        shown[:, 2] = np.sin(theta)
        shown[:, 3] = np.cos(theta)
        shown[:, 4] = self.theta_dot[which]
        shown[:, 5] = self.time[which] / self.max_time
        return shown


class MountainCar:
    """An underpowered car in a valley."""

    def __init__(self, source: Any, num_envs: int) -> None:
        self.low, self.high, self.goal = source._min_pos, source._max_pos, source._goal_pos
        self.max_speed, self.force, self.gravity = source._max_speed, source._force, source._gravity
        self.max_steps = source._max_steps
        self.position, self.velocity = np.zeros((2, num_envs))
        self.time = np.zeros(num_envs, np.int64)

    def seeded(self, stream: np.random.RandomState) -> None:
        """See ``Dynamics.seeded``."""

    def begin(self, which: Slots, streams: Streams) -> None:
        """See ``Dynamics.begin``."""
        self.position[which] = [streams[slot].uniform(-0.6, -0.4) for slot in which]
        self.velocity[which] = 0
        self.time[which] = 0

    def step(
        self, which: Slots, actions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """See ``Dynamics.step``."""
        self.time[which] += 1
        position, velocity = self.position[which], self.velocity[which]
        velocity = velocity + ((actions - 1) * self.force + np.cos(3 * position) * -self.gravity)
        velocity = np.clip(velocity, -self.max_speed, self.max_speed)
        position = np.clip(position + velocity, self.low, self.high)
        self.velocity[which] = np.where(position == self.low, np.clip(velocity, 0, self.max_speed), velocity)
        self.position[which] = position
        return np.full(len(which), -1.0), (position >= self.goal) | (self.time[which] >= self.max_steps)

    def observe(self, which: Slots) -> npt.NDArray[np.float32]:
        """See ``Dynamics.observe``."""
        shown = (self.position[which], self.velocity[which], self.time[which] / self.max_steps)
        return np.stack(shown, axis=1).astype(np.float32)


class MemoryChain:
    """A bit is shown at the start and asked for at the end."""

    def __init__(self, source: Any, num_envs: int) -> None:
        self.length, self.bits = source._memory_length, source._num_bits
        self.context = np.zeros((num_envs, self.bits), np.int64)
        self.query, self.time, self.shown_time = np.zeros((3, num_envs), np.int64)

    def seeded(self, stream: np.random.RandomState) -> None:
        """See ``Dynamics.seeded``."""
        stream.binomial(1, 0.5, self.bits)
        stream.randint(self.bits)

    def begin(self, which: Slots, streams: Streams) -> None:
        """See ``Dynamics.begin``."""
        for slot in which:
            self.context[slot] = streams[slot].binomial(1, 0.5, self.bits)
            self.query[slot] = streams[slot].randint(self.bits)
        self.time[which] = self.shown_time[which] = 0

    def step(
        self, which: Slots, actions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """See ``Dynamics.step``."""
        # bsuite looks before it counts: the first step shows the first observation once more.
        self.shown_time[which] = self.time[which]
        self.time[which] += 1
        last = self.shown_time[which] == self.length
        right = actions == self.context[which, self.query[which]]
        return np.where(last, np.where(right, 1.0, -1.0), 0.0), last

    def observe(self, which: Slots) -> npt.NDArray[np.float32]:
        """See ``Dynamics.observe``."""
        time = self.shown_time[which]
        shown = np.zeros((len(which), self.bits + 2), np.float32)
        shown[:, 0] = 1 - time / self.length
        shown[:, 1] = np.where(time == self.length - 1, self.query[which], 0)
        shown[:, 2:] = np.where((time == 0)[:, None], 2 * self.context[which] - 1, 0)
        return shown
