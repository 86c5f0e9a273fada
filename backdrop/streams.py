"""Named random streams: a draw comes from a seed, a name and an index, and from nothing else."""

import hashlib

import numpy as np


def stream_seed(seed: int, *names: str | int) -> int:
    """Give the 63-bit seed of the stream called ``names`` that belongs to ``seed``.

    Streams with different names are independent for all practical purposes, and a stream can be
    re-entered at any step without replaying the ones before it, which makes resuming exact.

    >>> stream_seed(0, "masks", 1) == stream_seed(0, "masks", 2)
    False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Give NumPy's counter-based Philox generator for the stream called ``names``."""
    return np.random.Generator(np.random.Philox(key=stream_seed(seed, *names)))
