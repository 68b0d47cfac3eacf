"""What a reader hands over, flattened into arrays that a test can compare row by row."""

from types import SimpleNamespace

import numpy as np

from agents.data.importers.blocks import EpisodeBlock
from agents.data.importers.source import Source


def source(path, tmp_path):
    return Source(str(path), cache=tmp_path / "cache")


def read(reader, path, tmp_path, **options):
    """Every transition of a source: s, a, r, s', discount, columns, and the blocks themselves."""
    origin = source(path, tmp_path)
    plan = reader.plan(origin, options)
    blocks, bad = [], []
    for shard in plan.shards:
        for block in reader.read(origin, shard, plan):
            (blocks if isinstance(block, EpisodeBlock) else bad).append(block)
    rows = SimpleNamespace(plan=plan, spec=plan.environment, blocks=blocks, bad=bad)
    starts = [block.lead for block in blocks]
    rows.s = np.concatenate([b.frames[at:-1] for at, b in zip(starts, blocks, strict=True)])
    rows.s_next = np.concatenate([b.frames[at + 1 :] for at, b in zip(starts, blocks, strict=True)])
    for name in ("action", "reward", "discount"):
        setattr(rows, name, np.concatenate([getattr(block, name) for block in blocks]))
    rows.columns = {name: np.concatenate([block.columns[name] for block in blocks]) for name in plan.columns}
    rows.extras = {
        name: np.concatenate([b.extras[name][b.lead : -1] for b in blocks]) for name in rows.spec.extras
    }
    rows.lengths = [len(block.action) for block in blocks]
    return rows
