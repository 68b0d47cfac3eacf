"""Shares of a card: measured on a worker, kept, and such that Ray fits a whole number of packs onto a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.util.placement_group import placement_group, remove_placement_group
from tiny_sweeps import cpu, planned, study

from agents.pack import Pack
from sweep import calibration
from sweep.calibration import HEADROOM, PackMemory, measure_pack, with_measured_shares
from sweep.cards import PACKS_ON_A_CARD, Card, share_of_card, smallest_card
from sweep.errors import UsageError
from sweep.halving import OutOfMemoryError
from sweep.plan import PackSpec

GIB = 2.0**30


@pytest.fixture(scope="module")
def one_logical_card() -> Iterator[str]:
    """A Ray that counts a card which is not there; gives the id of its only node."""
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
    )
    yield ray.nodes()[0]["NodeID"]
    ray.shutdown()


def wide_packs(root: Path, members: int = 8) -> list[PackSpec]:
    rates = {"name": "rates", "axes": {"learning_rate": {"low": 1e-4, "high": 1e-2, "num": members}}}
    base = {"dataset": "random-catch", "train_steps": 60, "hidden_sizes": [512, 512], "batch_size": 512}
    return planned(root, study(rates, base=base), cpu(device="cuda"))


# The share


@pytest.mark.parametrize(
    ("needed", "share"),
    [
        (80.0, 1.0),
        (200.0, 1.0),
        (40.1, 1.0),
        (40.0, 0.5),
        (20.1, 0.3333),
        (20.0, 0.25),
        (13.0, 0.1666),
        (1.0, 0.0625),
    ],
)
def test_a_share_holds_what_is_needed_and_is_no_larger_than_it_must(needed: float, share: float) -> None:
    assert share_of_card(needed * GIB, 80 * GIB) == share


def test_as_many_shares_as_there_should_be_fit_onto_a_card_as_ray_counts() -> None:
    for packs in PACKS_ON_A_CARD:
        share = share_of_card(80 * GIB / packs, 80 * GIB)
        # Ray counts in ten-thousandths.
        assert packs * round(share * 1e4) <= 1e4 < (packs + 1) * round(share * 1e4)


@pytest.mark.parametrize("packs", [1, 3, 6, 16])
def test_ray_places_that_many_packs_onto_a_card_at_once_and_not_one_more(
    one_logical_card: str, packs: int
) -> None:
    share = share_of_card(80 * GIB / packs, 80 * GIB)
    groups = [placement_group([{"CPU": 0.01, "GPU": share}]) for _ in range(packs + 1)]
    try:
        ready, waiting = ray.wait([group.ready() for group in groups], num_returns=packs, timeout=60)
        assert len(ready) == packs
        late, _ = ray.wait(waiting, timeout=1.5)
        assert late == []
    finally:
        for group in groups:
            remove_placement_group(group)


# Measuring


def test_what_a_pack_takes_holds_its_state_and_grows_with_its_members(tiny_root: Path) -> None:
    (eight,), (two,) = wide_packs(tiny_root), wide_packs(tiny_root, 2)
    large, small = (measure_pack(pack, tiny_root, "cpu") for pack in (eight, two))
    weights = 50 * 512 + 512 + 512 * 512 + 512 + 512 * 3 + 3
    # Parameters, targets and Adam's two moments.
    assert large.tensor_bytes > 4 * 8 * 4 * weights
    assert large.tensor_bytes > 2 * small.tensor_bytes
    assert (large.members_at_once, large.context_bytes, large.device) == (8, 0.0, "cpu")
    assert large.torch == torch.__version__
    assert large.needed_bytes == HEADROOM * large.tensor_bytes


def ask_too_much(monkeypatch: pytest.MonkeyPatch, fit: int) -> None:
    update = Pack._update_group

    def with_an_allocation(pack: Pack, work: Any) -> None:
        if pack.members_at_once > fit:
            torch.empty(2**46, dtype=torch.float32)
        update(pack, work)

    monkeypatch.setattr(Pack, "_update_group", with_an_allocation)


def test_a_pack_that_does_not_fit_is_measured_in_halves(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack,) = wide_packs(tiny_root)
    ask_too_much(monkeypatch, fit=2)
    assert measure_pack(pack, tiny_root, "cpu").members_at_once == 2
    ask_too_much(monkeypatch, fit=0)
    with pytest.raises(OutOfMemoryError, match=r"not one member of pack mlp-relu-b512-\w+ fits"):
        measure_pack(pack, tiny_root, "cpu")


# On a cluster


def on_a_processor() -> Callable[[str, str], str]:
    """What a worker with a card does, without one. A closure, which Ray sends whole."""

    def measure(spec: str, root: str) -> str:
        pack = PackSpec.model_validate_json(spec)
        return measure_pack(pack, Path(root), "cpu").model_dump_json()

    return measure


def test_a_kind_of_pack_is_measured_once_by_a_worker_and_found_again(
    one_logical_card: str, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = wide_packs(tiny_root)
    card = Card("test", 2 * GIB, one_logical_card)
    monkeypatch.setattr(calibration, "smallest_card", lambda: card)
    monkeypatch.setattr(calibration, "_measure", on_a_processor())
    said: list[str] = []
    (measured,) = with_measured_shares(packs, tiny_root, said.append)
    assert said == ["measuring how much memory 1 kind(s) of packs take on test"]
    (file,) = (tiny_root / "cache" / "memory").glob("*.json")
    memory = PackMemory.model_validate_json(file.read_text())
    assert memory.tensor_bytes > 2**20
    assert measured.gpus == share_of_card(memory.needed_bytes, 2 * GIB)
    assert measured == packs[0].model_copy(update={"gpus": measured.gpus})
    (again,) = with_measured_shares(packs, tiny_root, said.append)
    assert (again, len(said)) == (measured, 1)
    # Another card is another measurement.
    card = Card("other", 2 * GIB, one_logical_card)
    with_measured_shares(packs, tiny_root, said.append)
    assert len(said) == 2


def test_a_pack_that_cannot_be_measured_gets_a_card_of_its_own_and_it_is_said_why(
    one_logical_card: str, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    monkeypatch.setattr(calibration, "smallest_card", lambda: Card("none", 80 * GIB, one_logical_card))
    said: list[str] = []
    packs = wide_packs(tiny_root)
    (pack,) = with_measured_shares(packs, tiny_root, said.append)
    assert pack.gpus == 1.0
    assert f"packs like {pack.pack_id} get a card each: their memory was not measured (" in said[-1]
    assert "device 'cuda' does not exist" in said[-1]


def test_a_pack_that_was_measured_in_halves_gets_a_card_of_its_own(tiny_root: Path) -> None:
    (pack,) = wide_packs(tiny_root)
    memory = PackMemory(tensor_bytes=GIB, context_bytes=GIB, members_at_once=4, device="x", torch="y")
    card = Card("x", 80 * GIB, "node")
    assert calibration._with_share(pack, memory, card).gpus == 1.0
    whole = memory.model_copy(update={"members_at_once": 8})
    shared = calibration._with_share(pack, whole, card)
    assert (shared.gpus, shared.gpu_context_bytes) == (0.0625, GIB)


def test_a_node_whose_cards_pytorch_cannot_use_is_named(one_logical_card: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    with pytest.raises(
        UsageError,
        match=r"Ray counts 1 GPU\(s\) on node .* \(.*\), but PyTorch .* can use none\. Install a CUDA",
    ):
        smallest_card()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_what_was_measured_on_a_card_is_enough_to_train_on_it(tiny_root: Path) -> None:
    from agents.memory import limit_card

    (pack,) = wide_packs(tiny_root)
    memory = measure_pack(pack, tiny_root, "cuda")
    total = torch.cuda.get_device_properties(0).total_memory
    share = share_of_card(memory.needed_bytes, total)
    assert 0 < memory.context_bytes < 4 * GIB
    try:
        limit_card(share, memory.context_bytes, torch.device("cuda", 0))
        again = measure_pack(pack, tiny_root, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert again.members_at_once == pack.size
