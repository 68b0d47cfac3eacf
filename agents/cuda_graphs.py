"""CUDA graphs: one launch for a whole update, where launches cost more than the arithmetic."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def capture(
    update: Callable[[Any], None], state: dict[str, Tensor], warmup: int = 3
) -> Callable[[Any], None]:
    """``update`` recorded as a CUDA graph at its first call, and replayed from then on.

    ``update`` must read its argument's tensors and ``state`` and write ``state`` in place, all of fixed shape.
    Recording needs a few real runs first; ``state`` is restored after them, so that a captured run takes the
    same steps as an eager one.
    """
    return _Captured(update, state, warmup)


class _Captured:
    def __init__(self, update: Callable[[Any], None], state: dict[str, Tensor], warmup: int) -> None:
        self.update, self.state, self.warmup = update, state, warmup
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Any = None

    def __call__(self, chosen: Any) -> None:
        if self.graph is None:
            self._record(chosen)
        copy = torch.utils._pytree.tree_map(lambda held, new: held.copy_(new), self.inputs, chosen)
        del copy
        assert self.graph is not None
        self.graph.replay()

    def _record(self, chosen: Any) -> None:
        self.inputs = torch.utils._pytree.tree_map(torch.clone, chosen)
        before = {name: tensor.clone() for name, tensor in self.state.items()}
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(self.warmup):
                self.update(self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.update(self.inputs)
        for name, tensor in self.state.items():
            tensor.copy_(before[name])
        self.graph = graph
