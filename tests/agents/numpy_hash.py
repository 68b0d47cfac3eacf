"""The dropout hash again, in unsigned 32-bit numpy arithmetic that wraps by itself."""

import numpy as np


def lowbias32(x):
    """Wellons' permutation on uint32, which wraps by itself."""
    x = np.atleast_1d(np.asarray(x, dtype=np.uint32))  # scalars would warn of the wrap
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def numpy_mask(key, layer, shape, probability):
    start = lowbias32((key + layer * 0x85EBCA6B) % 2**32)
    position = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32)
    bits = lowbias32(position * np.uint32(0x9E3779B9) + start)
    # At 64 bits, because the threshold of a probability near 1 is near 2^32.
    return (bits.astype(np.uint64) >= int(float(np.float32(probability)) * 2**32)).reshape(shape)
