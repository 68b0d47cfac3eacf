"""Random streams that belong to a trial and a purpose, never to a place in a pack."""

import hashlib

import numpy as np


def stream_key(seed: int, *purpose: str | int) -> int:
    """128-bit key of the stream for ``purpose``, from BLAKE2b of the trial's seed and the purpose.

    The length of each part is hashed with it, so that ("a", "bc") and ("ab", "c") differ.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (seed, *purpose):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "little") + text)
    return int.from_bytes(digest.digest(), "little")


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A Philox generator (Salmon et al. 2011) keyed by the trial's seed and a purpose.

    Two calls with equal arguments give equal streams, on any machine and in any pack.
    """
    return np.random.Generator(np.random.Philox(key=stream_key(seed, *purpose)))


def minibatch_positions(seed: int, first_step: int, steps: int, batch_size: int) -> np.ndarray:
    """Uniform draws in [0, 1) for the minibatches of steps ``first_step`` … ``first_step + steps - 1``.

    Returns float64 ``[steps, batch_size]``. The draws of a step depend on the seed and the step alone: the
    stream is cut in blocks of ``BLOCK_STEPS`` steps, each with a generator of its own, so that a resumed run
    and a run that asks for other chunk sizes see the same minibatches.
    """
    first_block, last_block = first_step // BLOCK_STEPS, (first_step + steps - 1) // BLOCK_STEPS
    blocks = [
        generator(seed, "minibatch", block).random((BLOCK_STEPS, batch_size))
        for block in range(first_block, last_block + 1)
    ]
    offset = first_step - first_block * BLOCK_STEPS
    return np.concatenate(blocks)[offset : offset + steps]


BLOCK_STEPS = 256
