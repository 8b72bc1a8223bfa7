"""The flow's kernels as CUDA C: text that is generated from the same stencil and collision as the CPU's."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import count
from typing import Final

from workload.kernels.flow.collision import collide, open_end
from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, Q

THREADS: Final = 128  # of a block, along x; a cell holds 19 values and as many results in registers


class Name:
    """A variable of the program that is written: the collision's Number. Operations append lines."""

    def __init__(self, lines: list[str], numbers: "count[int]", name: str) -> None:
        self.lines = lines
        self.numbers = numbers
        self.name = name

    def _define(self, operator: str, other: "Name") -> "Name":
        name = f"t{next(self.numbers)}"
        self.lines.append(f"const real {name} = {self.name} {operator} {other.name};")
        return Name(self.lines, self.numbers, name)

    def __add__(self, other: "Name") -> "Name":
        return self._define("+", other)

    def __sub__(self, other: "Name") -> "Name":
        return self._define("-", other)

    def __mul__(self, other: "Name") -> "Name":
        return self._define("*", other)

    def __truediv__(self, other: "Name") -> "Name":
        return self._define("/", other)


class _Program:
    """Lines of C, and the variables in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._numbers = count()

    def name(self, text: str) -> Name:
        return Name(self.lines, self._numbers, text)

    def constant(self, value: Fraction) -> Name:
        # Rounded once to float64, as the CPU's constants are; the cast is what rounds it to float32. Decimal, for C++
        # knows hexadecimal floats only since 2017; Python's digits are as many as give the same float64 back.
        return self.name(f"((real){float(value)!r})")


def collision_body(*, forced: bool) -> list[str]:
    """Lines that turn `in[19]` into `out[19]`, with `even_rate`, `odd_rate` and, if forced, `force_x`, `_y`, `_z`."""
    program = _Program()
    leaving = collide(
        [program.name(f"in[{i}]") for i in range(Q)],
        (program.name("even_rate"), program.name("odd_rate")),
        [program.name(f"force_{axis}") for axis in "xyz"] if forced else None,
        program.constant,
    )
    return [*program.lines, *(f"out[{i}] = {value.name};" for i, value in enumerate(leaving))]


def opening_body() -> list[str]:
    """Lines that set `value` from `in[19]`, what left a cell, and `direction`."""
    program = _Program()
    values = [open_end([program.name(f"in[{i}]") for i in range(Q)], i, program.constant) for i in range(1, Q)]
    chosen = [f"if (direction == {i + 1}) value = {value.name};" for i, value in enumerate(values)]
    return [*program.lines, *chosen]


def prelude(real: str) -> str:
    """What the kernels need before them, for `real` "float" or "double"."""
    return (
        f'#define KERNEL extern "C" __global__ void\n#define INLINE __device__ __forceinline__\ntypedef {real} real;\n'
    )


def _table(name: str, values: Sequence[int]) -> str:
    return f"static __device__ const int {name}[{Q}] = {{{', '.join(map(str, values))}}};"


def source(*, forced: bool) -> str:
    """All kernels, after a prelude that says what `real` is (see `prelude`).

    Compiled without contraction to fused multiply-adds, the arithmetic is the CPU's to the last bit.
    """
    body, opening = ("\n    ".join(lines) for lines in (collision_body(forced=forced), opening_body()))
    x, y, z = zip(*DIRECTIONS, strict=True)
    return f"""
{_table("OPPOSITE", OPPOSITE)}
{_table("EX", x)}
{_table("EY", y)}
{_table("EZ", z)}

INLINE long long slot(
    int odd, int i, int cx, int cy, int cz, const long long *planes, const long long *rows, long long stride)
{{
    const int j = odd ? OPPOSITE[i] : i;
    const int dx = odd ? EX[j] : 0, dy = odd ? EY[j] : 0, dz = odd ? EZ[j] : 0;
    return planes[cz + dz + 1] + rows[cy + dy + 1] + j * stride + cx + dx;
}}

KERNEL advance(
    real *f, const unsigned char *fluid, const long long *planes, const long long *rows, long long stride,
    int odd, int x0, int x1, int y0, int y1, int z0, int z1, int nx, int ny,
    real even_rate, real odd_rate, real force_x, real force_y, real force_z)
{{
    const int cx = x0 + blockIdx.x * blockDim.x + threadIdx.x, cy = y0 + blockIdx.y, cz = z0 + blockIdx.z;
    if (cx >= x1 || cy >= y1 || cz >= z1 || !fluid[((long long)cz * ny + cy) * nx + cx]) return;
    real in[{Q}], out[{Q}];
    #pragma unroll
    for (int i = 0; i < {Q}; ++i) in[i] = f[slot(odd, i, cx, cy, cz, planes, rows, stride)];
    {body}
    #pragma unroll
    for (int i = 0; i < {Q}; ++i) f[slot(odd, OPPOSITE[i], cx, cy, cz, planes, rows, stride)] = out[i];
}}

KERNEL link(
    real *f, const long long *to, const long long *from, const real *constant, long long first, long long last)
{{
    const long long n = first + blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (n < last) f[to[n]] = f[from[n]] + constant[n];
}}

KERNEL open_link(
    real *f, const long long *to, const int *cells, const long long *planes, const long long *rows, long long stride,
    int odd, long long last)
{{
    const long long n = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (n >= last) return;
    const int cx = cells[4 * n], cy = cells[4 * n + 1], cz = cells[4 * n + 2], direction = cells[4 * n + 3];
    real in[{Q}], value = 0;
    for (int i = 0; i < {Q}; ++i) in[i] = f[slot(odd, OPPOSITE[i], cx, cy, cz, planes, rows, stride)];
    {opening}
    f[to[n]] = value;
}}
"""
