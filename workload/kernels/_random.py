"""Random numbers that do not depend on who makes them."""

import numpy as np


def block_generator(seed: int, block: int) -> np.random.Generator:
    """The generator of block number `block` of the stream `seed`, the same on every rank.

    Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11): the seed
    is its key, the block the highest 64 bits of its 256-bit counter, so blocks are 2**192 numbers apart.
    """
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, block]))
