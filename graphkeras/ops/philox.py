"""Philox-2x32-10, the counter-based random number generator behind every random op, on NumPy.

Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. A number depends on its key and its
position alone, so any thread can make any element. Kernels compute the same integers through `simd.philox`.
"""

import numpy as np

_MULTIPLIER, _WEYL, _ROUNDS = np.uint64(0xD256D193), np.uint64(0x9E3779B9), 10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox_words(key, low, high):
    """Both output words of Philox-2x32-10.

    Args:
        key: the 32-bit key, an integer or an array of integers.
        low, high: the two 32-bit counter words, broadcast against each other.

    Returns:
        Two uint32 arrays.

    Example:

    >>> [hex(int(word)) for word in philox_words(0, np.uint64(0), np.uint64(0))]
    ['0xff1dae59', '0x6cd10df2']
    """
    key, left, right = (np.asarray(v, np.uint64) & _LOW for v in (key, low, high))
    for _ in range(_ROUNDS):
        product = left * _MULTIPLIER
        left, right = (product >> _HALF) ^ key ^ right, product & _LOW
        key = (key + _WEYL) & _LOW
    return left.astype(np.uint32), right.astype(np.uint32)


def philox_numpy(k0, k1, counter):
    """First output word for key k0 at every counter, whose upper half is mixed (xor) with k1.

    Args:
        k0, k1: 32-bit integers, the two words of a seed.
        counter: uint64 array of positions.

    Returns:
        A uint32 array of the counter's shape.

    Example:

    >>> philox_numpy(1, 2, np.arange(3, dtype="uint64")).dtype
    dtype('uint32')
    """
    counter = np.asarray(counter, np.uint64)
    return philox_words(k0, counter & _LOW, (counter >> _HALF) ^ np.uint64(int(k1) & 0xFFFFFFFF))[0]
