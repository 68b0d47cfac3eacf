"""Devices: which there are, what numbers they compute in, and what fits on them."""

import dataclasses
from typing import Any, Literal

import torch

from agents.data import Transitions
from agents.errors import DeviceError
from agents.memory import limit_card

Precision = Literal["float32", "tf32", "bfloat16"]
RESIDENT_SHARE = 0.5
"""Share of a card's free memory that a dataset may take before it stays on the host."""
RESIDENT_SHARE_OF_LIMIT = 0.85
"""The same of what this process may have of the card, where that was measured with the dataset on it."""


def resolve_device(name: str) -> torch.device:
    """The device called ``name`` ("cpu", "cuda", "cuda:1"; "auto" is CUDA where there is one).

    Raises DeviceError where it does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or name.endswith(":"):
        raise DeviceError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N.")
    # Counted here, because torch.device keeps a number in a byte: its cuda:256 is cuda:0.
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if int(number or 0) >= count:
        raise DeviceError(
            f"device {name!r} does not exist: PyTorch {torch.__version__} sees {count} {kind.upper()} device(s). "
            "Use --device cpu, or install a CUDA build of PyTorch."
        )
    return torch.device(name)


def prepare_process(
    threads: int, precision: Precision, *, card_share: float = 0.0, context_bytes: float = 0.0
) -> None:
    """Settle how this process computes; the results of a pack depend on it to the bit.

    With ``card_share`` its first card gives it no more than that share, ``context_bytes`` of it for what is not
    tensors, so that a neighbour on the card cannot be starved; 0 leaves all of a card to it.

    Denormal numbers are flushed to zero: Adam's first moments decay into them wherever a ReLU is dead, and
    arithmetic on them ran a pack 1.3 times slower. Call it before the first parallel region: threads inherit
    the setting.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    # The older of PyTorch's two sets of switches, because it moves the newer one with it. The newer leaves the
    # older behind, and whoever asks that one afterwards, as the compiler does, gets an error.
    tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    # cuDNN's default gradients of convolutions add in an order that changes from run to run, and a resumed
    # sweep has to end with the same bits.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if 0 < card_share < 1 and torch.cuda.is_available():
        limit_card(card_share, context_bytes, torch.device("cuda", 0))


def autocast_dtype(precision: Precision) -> torch.dtype | None:
    """The dtype to autocast to, or None where float32 is kept."""
    return torch.bfloat16 if precision == "bfloat16" else None


def resident(data: Transitions, device: torch.device) -> tuple[Transitions, torch.device]:
    """``data`` on ``device`` where it fits there whole (images stay uint8), else as it is, beside the device."""
    if device.type == "cpu":
        return data, device
    arrays = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    tensors = {name: value for name, value in arrays.items() if isinstance(value, torch.Tensor)}
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    free, total = torch.cuda.mem_get_info(device)
    allowed = torch.cuda.get_per_process_memory_fraction(device) * total
    if size > RESIDENT_SHARE * free or size > RESIDENT_SHARE_OF_LIMIT * allowed:
        return data, device
    # On the card there are no pages to read ahead.
    on_card: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Transitions(**on_card), device
