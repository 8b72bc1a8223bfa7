"""The collision: written once, over anything that adds, subtracts, multiplies and divides.

The CPU kernel traces it with vectors of machine code, the GPU kernel with C text, the tests with numpy arrays. The
order of operations is fixed here and nobody reassociates it, so that a cell's result depends neither on where in a
vector the cell lies nor on the rank that has it.

Two relaxation times: I. Ginzburg, F. Verhaeghe, D. d'Humieres, Commun. Comput. Phys. 3 (2008) 427. The symmetric
half of each pair of populations relaxes with the rate that sets the viscosity, the antisymmetric one with the rate
that the magic parameter sets; with both equal it is the BGK collision. Body force: Z. Guo, C. Zheng, B. Shi,
Phys. Rev. E 65 (2002) 046308, its halves relaxed likewise.

Populations are stored less their weight (so that the fluid at rest is all zeros): this keeps the digits that
float32 would lose in the sum of nearly equal numbers.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, WEIGHTS, Q


class Number(Protocol):
    """What the arithmetic is written over."""

    def __add__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...


N = TypeVar("N", bound=Number)
Constant = Callable[[Fraction], N]


def magic_odd_rate(even: float, magic: float) -> float:
    """The antisymmetric rate for which (1/even - 1/2) (1/odd - 1/2) = magic.

    3/16 puts the wall of a straight channel exactly half-way between nodes (Ginzburg and others, 2008, above).
    """
    return 1.0 / (0.5 + magic / (1.0 / even - 0.5))


def total(terms: Sequence[N]) -> N:
    """Sum as a balanced tree: short chains of dependent additions, in an order that is always the same."""
    while len(terms) > 1:
        pairs: list[N] = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + list(terms[len(pairs) * 2 :])
    return terms[0]


def moments(f: Sequence[N], constant: Constant[N]) -> tuple[N, N, list[N]]:
    """Density less 1, density, and momentum (x, y, z) of populations `f` (length 19, less their weights)."""
    excess = total(f)
    momentum = [
        total([f[i] for i in range(Q) if DIRECTIONS[i][axis] > 0])
        - total([f[i] for i in range(Q) if DIRECTIONS[i][axis] < 0])
        for axis in range(3)
    ]
    return excess, excess + constant(Fraction(1)), momentum


def along(direction: Sequence[int], vector: Sequence[N]) -> N:
    """Scalar product of a stencil direction (not the rest) and a vector, without multiplications."""
    forward = [v for e, v in zip(direction, vector, strict=True) if e > 0]
    back = [v for e, v in zip(direction, vector, strict=True) if e < 0]
    if not forward:
        msg = "directions are negated by the caller: one component must be positive"
        raise ValueError(msg)
    value = total(forward)
    for term in back:
        value = value - term
    return value


def pairs() -> list[tuple[int, int]]:
    """The nine (direction, opposite) pairs, each direction with a positive component first."""
    return [(i, OPPOSITE[i]) for i in range(1, Q, 2)]


def equilibrium(excess: N, density: N, velocity: Sequence[N], constant: Constant[N]) -> list[N]:
    """The 19 populations (less their weights) of a fluid in equilibrium, to second order in the velocity."""
    squares = total([u * u for u in velocity])
    base = excess - density * (squares * constant(Fraction(3, 2)))
    populations = [base * constant(WEIGHTS[0])] * Q
    for i, o in pairs():
        speed = along(DIRECTIONS[i], velocity)
        even = base + density * constant(Fraction(9, 2)) * speed * speed
        odd = density * constant(Fraction(3)) * speed
        populations[i] = (even + odd) * constant(WEIGHTS[i])
        populations[o] = (even - odd) * constant(WEIGHTS[o])
    return populations


def collide(f: Sequence[N], rates: tuple[N, N], force: Sequence[N] | None, constant: Constant[N]) -> list[N]:
    """Populations after the collision.

    f: the 19 populations (less their weights) that arrive at a cell. rates: the even and odd relaxation rates
    (1 / steps). force: body force (x, y, z) a volume, lattice units; None leaves its arithmetic out.
    """
    half = constant(Fraction(1, 2))
    even_rate, odd_rate = rates
    excess, density, momentum = moments(f, constant)
    if force is not None:
        momentum = [j + g * half for j, g in zip(momentum, force, strict=True)]
    inverse = constant(Fraction(1)) / density
    u = [j * inverse for j in momentum]
    base = excess - density * (total([c * c for c in u]) * constant(Fraction(3, 2)))
    density_9_2, density_3 = density * constant(Fraction(9, 2)), density * constant(Fraction(3))
    even_half, odd_half = even_rate * half, odd_rate * half
    after = [f[0] - even_rate * (f[0] - base * constant(WEIGHTS[0]))] * Q
    if force is not None:
        one = constant(Fraction(1))
        work_3 = total([c * g for c, g in zip(u, force, strict=True)]) * constant(Fraction(3))
        even_force, odd_force = one - even_half, one - odd_half
        after[0] = after[0] - even_force * (work_3 * constant(WEIGHTS[0]))
    for i, o in pairs():
        weight_2 = constant(2 * WEIGHTS[i])
        speed = along(DIRECTIONS[i], u)
        even = even_half * ((f[i] + f[o]) - (base + density_9_2 * speed * speed) * weight_2)
        odd = odd_half * ((f[i] - f[o]) - density_3 * speed * weight_2)
        if force is not None:
            weight = constant(WEIGHTS[i])
            push = along(DIRECTIONS[i], force)
            even = even - even_force * ((speed * push * constant(Fraction(9)) - work_3) * weight)
            odd = odd - odd_force * (push * constant(3 * WEIGHTS[i]))
        after[i] = f[i] - (even + odd)
        after[o] = f[o] - (even - odd)
    return after


def open_end(f: Sequence[N], direction: int, constant: Constant[N]) -> N:
    """What comes back from an open end of density 1 for the population that left along `direction`.

    Anti-bounce-back (I. Ginzburg, F. Verhaeghe, D. d'Humieres, 2008, above), with the velocity of the cell itself
    for the end's. f: the cell's 19 populations after the collision (less their weights).
    """
    _, density, momentum = moments(f, constant)
    u = [j / density for j in momentum]
    i = direction if direction % 2 else OPPOSITE[direction]
    speed = along(DIRECTIONS[i], u)
    bracket = speed * speed * constant(Fraction(9, 2)) - total([c * c for c in u]) * constant(Fraction(3, 2))
    returning: N = bracket * constant(2 * WEIGHTS[i]) - f[direction]
    return returning
