"""Moments of a sample that come out the same, to the last bit, however the sample is shared out.

The sample is cut into blocks of a fixed size, each with its own generator. What is added within a block is float64, in
a fixed order. What is added between blocks is exact: sums are whole multiples of 2**-1074, kept as integers, so no
order and no grouping can change them. The mean and the variance are rounded once, at the end.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from workload.kernels._random import block_generator

BLOCK_ROWS: Final = 1024
"""Rows of a block. It belongs to the sample's definition: another size is another sample."""
SCALE: Final = 1074
"""Every finite float64 is a whole multiple of 2**-1074, the smallest of them."""


def exact(value: float) -> int:
    """`value` as a multiple of 2**-SCALE."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << SCALE) // denominator


def to_text(value: int) -> str:
    """A multiple of 2**-SCALE as a hexadecimal mantissa and a power of two, "0x1f3p-60"; all of its bits."""
    zeros = (value & -value).bit_length() - 1 if value else SCALE
    return f"{value >> zeros:#x}p{zeros - SCALE}"


def from_text(text: str) -> int:
    """What `to_text` wrote.

    Raises
    ------
    ValueError
        If `text` is nothing of the kind.
    """
    mantissa, mark, power = text.partition("p")
    if not mark or (shift := int(power) + SCALE) < 0:
        raise ValueError(f"{text!r} is no exact sum: a hexadecimal mantissa, 'p' and a power of two are needed")
    return int(mantissa, 16) << shift


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of `count` rows, for each column: exact sums of x and of x squared, and the extremes."""

    count: int
    sums: tuple[int, ...]
    squares: tuple[int, ...]
    least: tuple[float, ...]
    greatest: tuple[float, ...]

    @classmethod
    def none(cls, columns: int) -> Self:
        """Of no rows."""
        zero = (0,) * columns
        return cls(count=0, sums=zero, squares=zero, least=(math.inf,) * columns, greatest=(-math.inf,) * columns)

    @classmethod
    def of(cls, block: NDArray[np.float64]) -> Self:
        """Of one block, shape (rows, columns)."""
        return cls(
            count=len(block),
            sums=tuple(exact(x) for x in block.sum(axis=0).tolist()),
            squares=tuple(exact(x) for x in np.square(block).sum(axis=0).tolist()),
            least=tuple(block.min(axis=0).tolist()),
            greatest=tuple(block.max(axis=0).tolist()),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            count=self.count + other.count,
            sums=tuple(map(int.__add__, self.sums, other.sums)),
            squares=tuple(map(int.__add__, self.squares, other.squares)),
            least=tuple(map(min, self.least, other.least)),
            greatest=tuple(map(max, self.greatest, other.greatest)),
        )

    @property
    def mean(self) -> list[float]:
        return [float(Fraction(total, self.count << SCALE)) for total in self.sums]

    @property
    def std(self) -> list[float]:
        """Standard deviation of the sample, divided by `count` as NumPy's: sqrt(mean of squares - mean squared)."""
        whole = self.count << SCALE
        pairs = zip(self.sums, self.squares, strict=True)
        variances = (Fraction(square, whole) - Fraction(total, whole) ** 2 for total, square in pairs)
        # Equal numbers: their squares were rounded, so the difference may be just below 0.
        return [math.sqrt(max(Fraction(0), variance)) for variance in variances]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A normal sample of mean 0 and standard deviation 1: shape (iterations, columns), made from `seed`."""

    iterations: int
    columns: int
    seed: int

    @property
    def blocks(self) -> int:
        return -(-self.iterations // BLOCK_ROWS)

    def block(self, number: int) -> NDArray[np.float64]:
        """Rows `number * BLOCK_ROWS` and on; the last block may have fewer."""
        rows = min(BLOCK_ROWS, self.iterations - number * BLOCK_ROWS)
        return block_generator(self.seed, number).standard_normal((rows, self.columns))

    def moments(self, blocks: range) -> Moments:
        total = Moments.none(self.columns)
        for number in blocks:
            total += Moments.of(self.block(number))
        return total


def part(blocks: range, index: int, of: int) -> range:
    """Share number `index` of `of` of the blocks: in order, as even as can be."""
    first, last = (len(blocks) * i // of for i in (index, index + 1))
    return blocks[first:last]


def summary(moments: Moments) -> dict[str, Any]:
    """The statistics for each column; None where there are no rows."""
    if moments.count == 0:
        return dict.fromkeys(("mean", "std", "min", "max"))
    return {
        "mean": moments.mean,
        "std": moments.std,
        "min": list(moments.least),
        "max": list(moments.greatest),
    }
