"""The D3Q19 stencil: the one table from which every device's arithmetic is generated.

Directions come in pairs: after the rest direction 0, direction 2k+1 and 2k+2 are opposite to each other.
Weights and lattice: Y. H. Qian, D. d'Humieres, P. Lallemand, Europhys. Lett. 17 (1992) 479.
"""

from fractions import Fraction
from itertools import product
from typing import Final

Vector = tuple[int, int, int]


def _directions() -> tuple[Vector, ...]:
    """Rest, then each of the nine lines of the lattice, forward and back."""
    near = [(x, y, z) for x, y, z in product((1, 0, -1), repeat=3) if 1 <= abs(x) + abs(y) + abs(z) <= 2]
    halves = [e for e in near if e > (0, 0, 0)]
    halves.sort(key=lambda e: (sum(map(abs, e)), [-c for c in e]))
    paired = [direction for e in halves for direction in (e, (-e[0], -e[1], -e[2]))]
    return ((0, 0, 0), *paired)


Q: Final = 19
DIRECTIONS: Final[tuple[Vector, ...]] = _directions()  # in cells a step, along x, y, z
OPPOSITE: Final[tuple[int, ...]] = tuple(DIRECTIONS.index((-x, -y, -z)) for x, y, z in DIRECTIONS)
WEIGHTS: Final[tuple[Fraction, ...]] = tuple(
    {0: Fraction(1, 3), 1: Fraction(1, 18), 2: Fraction(1, 36)}[sum(map(abs, e))] for e in DIRECTIONS
)
SOUND_SPEED_SQUARED: Final = Fraction(1, 3)  # of the lattice, in (cells a step) squared
