"""Following a sweep, as the mirror does: nothing is missed, and nothing comes twice past the last step."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from places_of_tests import anywhere

from sweep.errors import CorruptSegmentError
from sweep.store import Store, SweepStore

Attempt = Callable[..., int]
Finish = Callable[..., None]


class Follower:
    """Takes rows past each trial's last step, as the mirror does."""

    def __init__(self) -> None:
        self.cursors: dict[str, tuple[int, int]] = {}
        self.seen: dict[str, list[int]] = {}
        self.losses: dict[tuple[str, int], float] = {}

    def follow(self, sweep: SweepStore) -> int:
        """The number of batches."""
        batches = 0
        for pack, attempt, seq, rows in sweep.tail(self.cursors):
            batches += 1
            for row in sorted(rows.to_pylist(), key=lambda row: row["step"]):
                steps = self.seen.setdefault(row["trial_id"], [])
                if not steps or row["step"] > steps[-1]:
                    steps.append(row["step"])
                    self.losses[row["trial_id"], row["step"]] = row["loss"]
            self.cursors[pack] = (attempt, seq)
        return batches


@anywhere
def test_batches_come_once_and_in_order(sweep: SweepStore, write_attempt: Attempt) -> None:
    write_attempt(sweep, "p0", ["t0"], [0, 1])
    write_attempt(sweep, "p1", ["t1"], [0])
    batches = list(sweep.tail({}))
    assert [(b.pack_id, b.attempt, b.rows.column("step").to_pylist()) for b in batches] == [
        ("p0", 0, [0]),
        ("p0", 0, [1]),
        ("p1", 0, [0]),
    ]
    cursors = {b.pack_id: (b.attempt, b.seq) for b in batches}
    assert list(sweep.tail(cursors)) == []
    write_attempt(sweep, "p0", ["t0"], [2], resume_step=1)
    (new,) = sweep.tail(cursors)
    assert (new.pack_id, new.attempt, new.rows.column("step").to_pylist()) == ("p0", 1, [2])
    assert [b.rows.column("name").to_pylist() for b in sweep.tail({}, "spectra")][:1] == [["singular_values"]]


@anywhere
def test_a_pack_taken_while_it_was_hot_does_not_come_again_when_compacted(
    sweep: SweepStore, write_attempt: Attempt, finish_pack: Finish
) -> None:
    follower = Follower()
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["t0"], [0, 1]), ["t0"])
    assert follower.follow(sweep) == 2
    sweep.compact(grace_seconds=0)
    assert follower.follow(sweep) == 0
    newcomer = Follower()
    assert newcomer.follow(sweep) == 1
    assert newcomer.follow(sweep) == 0
    assert newcomer.losses == follower.losses == {("t0", 0): 0.0, ("t0", 1): 1.0}


@pytest.mark.parametrize("seed", range(6))
def test_a_follower_at_random_moments_ends_with_every_row(
    store: Store, sweep: SweepStore, write_attempt: Attempt, finish_pack: Finish, seed: int
) -> None:
    moments, follower = random.Random(seed), Follower()
    for pack in ("p0", "p1", "p2"):
        trials, done = [f"{pack}-a", f"{pack}-b"], -1
        while done < 30:
            # Killed after `last`; the checkpoint is somewhere before.
            last = min(30, done + moments.randrange(1, 15))
            attempt = write_attempt(sweep, pack, trials, list(range(done + 1, last + 1)), resume_step=done)
            done = last if last == 30 else moments.randrange(done, last + 1)
            if moments.random() < 0.5:
                follower.follow(sweep)
        finish_pack(sweep, pack, attempt, trials)
        if moments.random() < 0.7:
            sweep.compact(grace_seconds=moments.choice([0, 3600]))
        if moments.random() < 0.5:
            follower.follow(sweep)
    follower.follow(sweep)
    found = store.metrics("demo", ["trial_id", "step", "loss"])
    wanted = {(row.trial_id, row.step): row.loss for row in found.itertuples()}
    assert follower.losses == wanted
    assert len(wanted) == 6 * 31


def test_a_damaged_segment_is_named_or_passed_over(
    sweep: SweepStore, write_attempt: Attempt, tmp_path: Path
) -> None:
    write_attempt(sweep, "p0", ["t0"], [0, 1])
    path = sorted(sweep.layout.hot("metrics", "p0").iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptSegmentError, match=path.name):
        list(sweep.tail({}))
    assert [b.rows.column("step").to_pylist() for b in sweep.tail({}, skip_corrupt=True)] == [[1]]
