"""How a plan fits a cluster: waves and time, and what could never run."""

from __future__ import annotations

import pytest

from sweep.capacity import Ask, Node, capacity, spoken
from sweep.errors import UsageError

CARDS = [Node("a", 16, 4), Node("b", 16, 4)]


def asks(count: int, gpus: float = 0.0, cpus: float = 1.0, seconds: float | None = 3600.0) -> list[Ask]:
    return [Ask(f"p{number}", cpus, gpus, seconds) for number in range(count)]


def test_quarters_of_eight_cards_take_sixty_four_packs_in_two_waves() -> None:
    found = capacity(asks(64, 0.25, seconds=5700), CARDS)
    assert (found.at_once, found.waves, found.seconds) == (32, 2, 11400)
    assert str(found) == "64 packs × 0.25 GPU; the cluster has 8 GPUs: 2 waves, about 3 h 10 min"


def test_one_pack_more_than_there_is_room_for_is_a_wave_more() -> None:
    assert [capacity(asks(count, 0.25), CARDS).waves for count in (1, 32, 33, 64, 65)] == [1, 1, 2, 2, 3]


def test_processors_can_be_what_is_short_and_are_then_named() -> None:
    found = capacity(asks(16, 0.25), [Node("a", 4, 8)])
    assert (found.at_once, found.waves) == (4, 4)
    assert "8 GPUs and 4 CPUs: 4 waves" in str(found)


def test_a_fraction_is_of_one_card_so_the_rest_of_a_card_is_lost() -> None:
    # Two of 0.4 fit a card, and a fifth of each of two cards is no third place.
    assert capacity(asks(5, 0.4), [Node("a", 16, 2)]).at_once == 4


def test_a_node_with_too_little_adds_no_room() -> None:
    nodes = [Node("head", 0), Node("a", 3), Node("b", 1)]
    assert capacity(asks(4, cpus=2), nodes).waves == 4


def test_packs_of_unlike_length_are_handed_out_longest_first() -> None:
    uneven = [
        Ask(name, 1, 0, seconds) for name, seconds in (("a", 10.0), ("b", 60.0), ("c", 30.0), ("d", 20.0))
    ]
    # 60 beside 30 + 20 + 10.
    assert capacity(uneven, [Node("n", 2)]).seconds == 60


def test_packs_that_ask_for_unlike_shares_run_beside_each_other() -> None:
    mixed = [Ask("a", 1, 0.5, 100.0), *(Ask(f"b{number}", 1, 0.25, 100.0) for number in range(2))]
    found = capacity(mixed, [Node("n", 8, 1)])
    assert (found.at_once, found.waves, found.seconds) == (3, 1, 100)
    assert str(found).startswith("2 packs × 0.25 GPU + 1 pack × 0.5 GPU; the cluster has 1 GPU")


def test_a_limit_is_kept_to_and_said() -> None:
    found = capacity(asks(6), [Node("n", 6)], limit=2)
    assert found.waves == 3
    assert "2 at once as asked" in str(found)


def test_time_is_unknown_where_one_pack_was_never_measured() -> None:
    found = capacity([*asks(1), Ask("new", 1)], [Node("n", 2)])
    assert found.seconds is None
    assert str(found).endswith("1 wave, time unknown")


def test_cards_where_there_are_none_are_refused_naming_both() -> None:
    with pytest.raises(
        UsageError, match=r"pack p0 asks for 1 CPU and 0\.5 GPUs, and the cluster has no GPU"
    ) as error:
        capacity(asks(1, 0.5), [Node("n", 8)])
    assert "--device cpu" in str(error.value)


def test_a_pack_larger_than_every_node_is_refused_though_the_cluster_is_larger() -> None:
    with pytest.raises(
        UsageError, match=r"asks for 4 CPUs, and no node has that much at once \(at most 2 CPUs"
    ):
        capacity(asks(1, cpus=4), [Node("a", 2), Node("b", 2), Node("c", 2)])


def test_a_cluster_that_grows_is_waited_for_and_said_to_grow() -> None:
    assert "may grow" in str(capacity(asks(2), [Node("n", 1)], may_grow=True))
    waiting = capacity(asks(2, 0.25), [Node("head", 0)], may_grow=True)
    assert (waiting.waves, waiting.seconds) == (0, None)
    assert "waits for the nodes that the cluster adds" in str(waiting)


def test_ten_thousand_packs_on_a_thousand_nodes_are_counted_at_once() -> None:
    found = capacity(asks(10_000, 0.25), [Node(str(number), 8, 1) for number in range(1000)])
    assert (found.at_once, found.waves) == (4000, 3)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (3600, "1 h"), (11400, "3 h 10 min"), (187200, "2 d 4 h")],
)
def test_times_are_said_as_one_says_them(seconds: float, said: str) -> None:
    assert spoken(seconds) == said
