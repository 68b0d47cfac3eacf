"""How much of a card a pack needs: measured by training it for a few updates, once for each kind of pack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sweep.cards import Card, on_node, share_of_card, smallest_card
from sweep.errors import CorruptSegmentError
from sweep.plan import PackSpec
from sweep.store import files
from sweep.store.places import root_place, told_elsewhere

__all__ = ["PackMemory", "measure_pack", "with_measured_shares"]

HEADROOM = 1.2
"""What a pack may use is this much more than was measured: allocators fragment, and rare probes were not taken."""
_UPDATES = 4
_LONG_SECONDS = 600.0
"""A measurement takes a minute or two once it has its card."""


class PackMemory(BaseModel):
    """What a kind of pack took: `tensor_bytes` of PyTorch's allocator, `context_bytes` of the card beside it.

    `members_at_once` is what it was measured with: less than the pack's size where all did not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tensor_bytes: float
    context_bytes: float
    members_at_once: int
    device: str
    torch: str

    @property
    def needed_bytes(self) -> float:
        """What is asked for."""
        return HEADROOM * (self.tensor_bytes + self.context_bytes)


def with_measured_shares(packs: Sequence[PackSpec], root: Path, say: Callable[[str], None]) -> list[PackSpec]:
    """The same packs with the share of a card that each needs, measured on the smallest card of the Ray cluster.

    What was measured is kept below the root, by kind of pack, card and version of PyTorch. A kind that cannot be
    measured gets a card of its own, and `say` is told why. Raises UsageError where the cards cannot be asked.
    """
    card = smallest_card()
    kinds = {pack.pack_id: _kind(pack, card) for pack in packs}
    examples = {kinds[pack.pack_id]: pack for pack in packs}
    known = {kind: memory for kind in examples if (memory := _kept(root, kind)) is not None}
    missing = {kind: pack for kind, pack in examples.items() if kind not in known}
    if missing:
        say(f"measuring how much memory {len(missing)} kind(s) of packs take on {card.name}")
        known |= _measured(missing, root, card, say)
    return [_with_share(pack, known.get(kinds[pack.pack_id]), card) for pack in packs]


def measure_pack(spec: PackSpec, root: Path, device: str) -> PackMemory:
    """Build the pack as training does, take a few updates, a probe and a batch of an evaluation, and see what it took.

    Called in a process of its own that has the card to itself. Where memory runs out it is measured with half as
    many members at once. Raises OutOfMemoryError where not even one fits.
    """
    import torch

    from agents.groups import fewer_at_once
    from agents.memory import PeakMemory, is_out_of_memory
    from sweep.halving import OutOfMemoryError

    place = torch.device(device)
    at_once = spec.size
    while True:
        peak = PeakMemory(place)
        peak.begin()
        try:
            _use(spec.model_copy(update={"members_at_once": at_once}), root, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = str(error)
        else:
            break
        if at_once == 1:
            raise OutOfMemoryError(f"not one member of pack {spec.pack_id} fits into memory: {said[:300]}")
        at_once = fewer_at_once(spec.size, at_once)
    return PackMemory(
        tensor_bytes=peak.bytes(),
        context_bytes=_beside_tensors(place),
        members_at_once=at_once,
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu",
        torch=torch.__version__,
    )


def _use(spec: PackSpec, root: Path, device: str) -> None:
    import numpy as np

    from agents.acting import PackActing
    from agents.measuring import ProbeBatch
    from sweep.dataset_making import open_dataset
    from sweep.pack_building import build_pack

    dataset = open_dataset(root, spec.dataset)
    pack, draw = build_pack(spec, dataset, root, device)
    pack.update(draw(0, _UPDATES))
    ProbeBatch(pack, dataset.probe_indices(spec.protocol.probe_batch_size), spec.protocol.delta).measure()
    played = (len(spec.trials), spec.protocol.eval_episodes, *dataset.spec.observation_shape)
    PackActing(pack)(np.zeros(played, dtype=dataset.spec.observation_dtype))
    pack.state_dict()
    pack.synchronize()


def _beside_tensors(device: Any) -> float:
    """Bytes of the card that this process holds and its allocator does not know of: context, kernels, graphs."""
    import torch

    if device.type != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    return float(max(0, total - free - torch.cuda.memory_reserved(device)))


def _measured(
    missing: dict[str, PackSpec], root: Path, card: Card, say: Callable[[str], None]
) -> dict[str, PackMemory]:
    import ray

    # A card each: a neighbour's memory would be counted as the pack's own.
    measure = on_node(_measure, card.node, num_gpus=1, num_cpus=1)
    tasks = {
        kind: measure.remote(pack.model_dump_json(), told_elsewhere(root)) for kind, pack in missing.items()
    }
    found = {}
    for kind, task in tasks.items():
        if not ray.wait([task], timeout=_LONG_SECONDS)[0]:
            say(
                f"packs like {missing[kind].pack_id} are not measured after {_LONG_SECONDS / 60:.0f} min and are "
                "waited for: most likely other work of the cluster holds the card"
            )
        try:
            memory = PackMemory.model_validate_json(ray.get(task))
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            said = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            say(
                f"packs like {missing[kind].pack_id} get a card each: their memory was not measured ({said[:300]})"
            )
            continue
        found[kind] = memory
        files.make_folder(_file(root, kind).parent)
        files.replace_json(_file(root, kind), memory.model_dump())
    return found


def _measure(spec: str, root: str) -> str:
    from agents.devices import resolve_device
    from sweep.trainable import prepare_worker

    pack, place = PackSpec.model_validate_json(spec), root_place(root)
    prepare_worker(pack, place, limited=False)
    return measure_pack(pack, place, str(resolve_device("cuda"))).model_dump_json()


def _with_share(pack: PackSpec, memory: PackMemory | None, card: Card) -> PackSpec:
    if memory is None:
        return pack.model_copy(update={"gpus": 1.0})
    share = share_of_card(memory.needed_bytes, card.total_bytes)
    if memory.members_at_once < pack.size:
        share = 1.0  # all of a card, since all at once did not fit
    return pack.model_copy(update={"gpus": share, "gpu_context_bytes": memory.context_bytes})


def _kind(pack: PackSpec, card: Card) -> str:
    """What decides how much memory a pack takes, as the name of a file."""
    from importlib.metadata import version

    protocol = pack.protocol
    parts = [
        *(repr(pack.config.shape_key()), pack.size, pack.dataset_fingerprint),
        *(pack.strategy, pack.precision, pack.compile),
        *(protocol.probe_batch_size, protocol.eval_episodes),
        *(card.name, card.total_bytes, version("torch")),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _kept(root: Path, kind: str) -> PackMemory | None:
    try:
        return PackMemory.model_validate(files.read_json(_file(root, kind)))
    except (FileNotFoundError, CorruptSegmentError, ValidationError):
        return None


def _file(root: Path, kind: str) -> Path:
    return root / "cache" / "memory" / f"{kind}.json"
