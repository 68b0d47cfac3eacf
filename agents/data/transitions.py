"""The arrays of a dataset as tensors, the way a learner reads them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Transitions:
    """T transitions over F frames; K frames make an observation (1 for vectors, the stack for images).

    ``frames`` ``[F, *frame_shape]`` float32 or uint8, each stored once (for images, frame 0 is black: the
    padding of an episode's first stacks). ``frame_index`` int32 ``[T, K+1]``: its first K columns are s,
    oldest first, its last K are s'. ``action`` int32 ``[T]``, or float32 ``[T, *action_shape]``; ``reward`` float32
    ``[T]``, not clipped;
    ``discount`` float32 ``[T]``, 0 where s' is terminal and 1 elsewhere, truncated episodes included;
    ``subset_order`` int32 ``[T]``, a fixed permutation: the data fraction f is its first ceil(f T) entries.
    """

    frames: Tensor
    frame_index: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    subset_order: Tensor

    def __len__(self) -> int:
        return self.action.shape[0]
