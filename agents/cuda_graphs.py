"""CUDA graphs: one launch for a whole update, where launches cost more than the arithmetic."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


def capture(
    update: Callable[[Any], None], state: dict[str, Tensor], warmup: int = 3
) -> Callable[[Any], None]:
    """``update`` recorded as a CUDA graph at its first call, and replayed from then on.

    ``update`` must read its argument's tensors and ``state`` and write ``state`` in place, all of fixed shape
    and on one card. Recording needs a few real runs first; ``state`` is restored after them, so that a captured
    run takes the same steps as an eager one.
    """
    return _Captured(update, state, warmup)


class _Captured:
    def __init__(self, update: Callable[[Any], None], state: dict[str, Tensor], warmup: int) -> None:
        self.update, self.state, self.warmup = update, state, warmup
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Any = None

    def __call__(self, chosen: Any) -> None:
        if self.graph is None:
            self.graph = self._record(chosen)
        tree_map(lambda held, new: held.copy_(new), self.inputs, chosen)
        self.graph.replay()

    def _record(self, chosen: Any) -> torch.cuda.CUDAGraph:
        # Streams and graphs belong to the current card, which need not be the one that the state lies on.
        with torch.cuda.device(next(iter(self.state.values())).device):
            self.inputs = tree_map(torch.clone, chosen)
            before = {name: tensor.clone() for name, tensor in self.state.items()}
            # Runs before the recording compile kernels, choose algorithms and make the libraries' handles,
            # none of which may happen while a stream is captured; handles belong to a stream, so it is the
            # same one.
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(self.warmup):
                    self.update(self.inputs)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                self.update(self.inputs)
            for name, tensor in self.state.items():
                tensor.copy_(before[name])
            return graph
