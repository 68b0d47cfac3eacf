"""The online learner that collects datasets: a pack of one whose replay is the dataset being written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from agents.data.writer import DatasetWriter
from agents.pack import Pack
from agents.randomness import generator
from agents.spec import LearnerShape, MemberHypers


class OnlineDQN:
    """DQN (Mnih et al. 2015) that samples uniformly from everything collected so far.

    ``epsilon`` gives the exploration at an agent step. From ``learning_starts`` agent steps on,
    ``updates_per_step`` gradient steps are due for each, taken as soon as they are whole.
    """

    def __init__(
        self,
        shape: LearnerShape,
        hypers: MemberHypers,
        writer: DatasetWriter,
        *,
        epsilon: Callable[[int], float],
        updates_per_step: float,
        learning_starts: int,
    ) -> None:
        self.writer = writer
        self.epsilon = epsilon
        self.updates_per_step = updates_per_step
        self.learning_starts = learning_starts
        # Not compiled: compilation takes longer than the few thousand updates of a recipe, and a dataset's
        # content should not depend on whether a C++ compiler is installed. On the CPU, because the tensors
        # are the growing files themselves.
        self.pack = Pack(shape, [hypers], writer.transitions, device="cpu", compile=False)
        self.num_actions = shape.num_actions
        self.exploration = generator(hypers.seed, "collect", "exploration")
        self.minibatch = generator(hypers.seed, "collect", "minibatch")

    def act(self, observation: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.int64]:
        """Epsilon-greedy actions int64 ``[B]`` for observations ``[B, *observation_shape]``."""
        chance, choice = self.exploration.random((2, len(observation)))
        action: npt.NDArray[np.int64] = (choice * self.num_actions).astype(np.int64)
        greedy = chance >= self.epsilon(step)
        if greedy.any():
            q = self.pack.q_values(observation[None])[0].numpy()
            action[greedy] = q[greedy].argmax(axis=1)
        return action

    def learn(self, step: int) -> int:
        """The gradient steps that are due at agent step ``step``."""
        due = int((step - self.learning_starts) * self.updates_per_step) - self.pack.step
        if due <= 0:
            return 0
        draws = self.minibatch.random((due, 1, self.pack.shape.batch_size))
        self.pack.update((draws * self.writer.filled).astype(np.int64))
        return due


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """PyTorch's CPU arithmetic on one thread, and the caller's setting restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
