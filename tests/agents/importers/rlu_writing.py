"""Files in RL Unplugged's formats, written by the independent package ``tfrecord`` and by PIL."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from tfrecord.writer import TFRecordWriter


def png(image):
    """Grey ``[H, W]`` or coloured ``[H, W, 3]``."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG")
    return out.getvalue()


def write_records(path, records, gzipped=True):
    """``records``: a dictionary of (values, kind) each, as ``TFRecordWriter.write`` takes them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = TFRecordWriter(str(path))
    for record in records:
        writer.write(record)
    writer.close()
    if gzipped:
        plain = path.read_bytes()
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(plain)
    return path


def write_shards(folder, name, records, shards, gzipped=True):
    """Spread records over ``<name>-00000-of-…``, in order; ``shards`` is a number, or the sizes of each."""
    sizes = (
        [len(part) for part in np.array_split(np.arange(len(records)), shards)]
        if isinstance(shards, int)
        else shards
    )
    at = 0
    for number, size in enumerate(sizes):
        write_records(
            Path(folder) / f"{name}-{number:05d}-of-{len(sizes):05d}", records[at : at + size], gzipped
        )
        at += size
    assert at == len(records)
    return Path(folder)


class AtariEpisode:
    """Random play of L steps: grey ``images`` ``[L + 1, 84, 84]`` and everything logged beside them."""

    def __init__(self, rng, steps, num_actions=6, terminal=True):
        self.steps = steps
        self.images = rng.integers(0, 256, (steps + 1, 84, 84), dtype=np.uint8)
        # Few colours make small files.
        self.images[:, 8:] = self.images[:, :1, :1]
        self.actions = rng.integers(0, num_actions, steps + 1)
        self.rewards = rng.integers(-3, 4, steps).astype(np.float32)
        self.discounts = np.ones(steps, np.float32)
        self.discounts[-1] = 0 if terminal else 1
        self.id = int(rng.integers(2**63, 2**64 - 1, dtype=np.uint64))
        self.clipped_return = float(np.clip(self.rewards, -1, 1).sum())
        self.pngs = [png(image) for image in self.images]

    def stack(self, step):
        """The four images seen at ``step``, ``[4, 84, 84]``, black before the first."""
        black = np.zeros((84, 84), np.uint8)
        return np.stack([self.images[k] if k >= 0 else black for k in range(step - 3, step + 1)])

    def transition_records(self):
        """As ``rlu-atari`` has them."""
        black = png(np.zeros((84, 84), np.uint8))

        def pngs(step):
            return [self.pngs[k] if k >= 0 else black for k in range(step - 3, step + 1)]

        return [
            {
                "o_t": (pngs(t), "byte"),
                "o_tp1": (pngs(t + 1), "byte"),
                "a_t": (int(self.actions[t]), "int"),
                "a_tp1": (int(self.actions[t + 1]), "int"),
                "r_t": (float(self.rewards[t]), "float"),
                "d_t": (float(self.discounts[t]), "float"),
                "episode_id": (self.id - 2**64, "int"),
                "episode_return": (self.clipped_return, "float"),
            }
            for t in range(self.steps)
        ]

    def ordered_record(self, checkpoint, number, clipped_last=0.0):
        """As ``rlu-atari-ordered`` has them: what the last step did means nothing."""
        rewards = [*self.rewards.tolist(), clipped_last]
        return {
            "checkpoint_idx": (checkpoint, "int"),
            "episode_idx": (number, "int"),
            "episode_return": (float(self.rewards.sum()), "float"),
            "clipped_episode_return": (self.clipped_return, "float"),
            "observations": (self.pngs, "byte"),
            "actions": (self.actions.tolist(), "int"),
            "unclipped_rewards": (rewards, "float"),
            "clipped_rewards": (np.clip(rewards, -1, 1).tolist(), "float"),
            "discounts": ([1.0, *self.discounts.tolist()], "float"),
        }


def unzip(path):
    """Take the gzip off a file in place, so that a test can change a byte of it."""
    with gzip.open(path, "rb") as file, open(f"{path}.plain", "wb") as out:
        shutil.copyfileobj(file, out)
    Path(f"{path}.plain").replace(path)
    return path
