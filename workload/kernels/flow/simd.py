"""The collision as vectors of machine code, for numba.

numba's own loops over 19 streams that are read and written do not vectorize: the compiler cannot know that the
streams never overlap, and numba has no word to say so. Here the loads, the traced collision and the stores of one
vector of cells are given as vectors; all loads come before the first store, so nothing need be promised.

In place (P. Bailey and others, Int. Conf. Parallel Processing 2009, pattern "AA"): an even step reads a cell's own
19 slots and leaves each result in the slot of the opposite direction; an odd step reads, for direction i, the
neighbour's slot there and leaves the result for i one cell on. Both touch the same 19 slots that they read.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]  # it has no types
from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

from workload.kernels.flow.collision import collide, open_end
from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, Q

cgutils: Final[Any] = _cgutils  # untyped
INT: Final = ir.IntType(64)
FLAG: Final = ir.IntType(32)


class Lanes:
    """One value for each lane of a vector, or a scalar: the collision's Number. Operations append instructions."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fdiv(self.value, other.value))


def constants(builder: ir.IRBuilder, kind: ir.Type) -> Callable[[Fraction], Lanes]:
    """Constants of `kind`, a real type or a vector of it."""

    def constant(value: Fraction) -> Lanes:
        number = float(value)
        return Lanes(builder, ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number))

    return constant


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """The same scalar in every lane."""
    kind = ir.VectorType(value.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(FLAG, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(FLAG, lanes), [0] * lanes))


def slots(builder: ir.IRBuilder, rows: ir.Value, stride: ir.Value, x: ir.Value, *, odd: bool) -> list[ir.Value]:
    """Where the population that arrives along each direction lies: 19 indices into the storage.

    rows: (below, here, above) along z, then along y, offsets whose sum is a row's. stride: from one direction's row
    to the next. The one that leaves along i is stored where the one that arrives along the opposite of i was.
    """
    near_z = [builder.extract_value(rows, k) for k in range(3)]
    near_y = [builder.extract_value(rows, k + 3) for k in range(3)]
    found = []
    for i in range(Q):
        slot = OPPOSITE[i] if odd else i
        dx, dy, dz = DIRECTIONS[slot] if odd else (0, 0, 0)
        row = builder.add(near_z[dz + 1], near_y[dy + 1])
        row = builder.add(row, builder.mul(ir.Constant(INT, slot), stride))
        found.append(builder.add(builder.add(row, ir.Constant(INT, dx)), x))
    return found


def _masked(builder: ir.IRBuilder, kind: ir.VectorType, size: int) -> tuple[ir.Function, ir.Function]:
    """LLVM's loads and stores of the lanes that a mask names."""
    name = f"v{kind.count}f{size * 8}.p0"
    mask = ir.VectorType(ir.IntType(1), kind.count)
    pointer = kind.as_pointer()
    load = ir.FunctionType(kind, [pointer, FLAG, mask, kind])
    store = ir.FunctionType(ir.VoidType(), [kind, pointer, FLAG, mask])
    return (
        cgutils.get_or_insert_function(builder.module, load, f"llvm.masked.load.{name}"),
        cgutils.get_or_insert_function(builder.module, store, f"llvm.masked.store.{name}"),
    )


def _prefetch(builder: ir.IRBuilder, pointer: ir.Value) -> None:
    """Ask for a line that is read soon, into the second-level cache."""
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, FLAG, FLAG, FLAG])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [pointer, *(ir.Constant(FLAG, flag) for flag in (0, 2, 1))])


def vector_bytes(context: Any) -> int:
    """Bytes of a vector register on the processor that is compiled for."""
    features = context.codegen().magic_tuple()[2]
    return 64 if "+avx512f" in features else 32 if "+avx2" in features else 16


def update(*, odd: bool, forced: bool, tail: bool) -> Any:
    """An intrinsic that advances a vector of cells by one step, in place.

    Its arguments: storage (1-D), rows (six indices, see `slots`), stride, x of the first cell, ahead (prefetch this
    many elements on; even steps alone), count (cells of the vector that exist; tails alone), rates and force (2 + 3).
    """

    @intrinsic
    def cells(  # noqa: PLR0917 - numba's intrinsics take arguments by position
        _typing: Any, f: Any, rows: Any, stride: Any, x: Any, ahead: Any, count: Any, parameters: Any
    ) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
            storage = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
            size = signature.args[0].dtype.bitwidth // 8
            kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), vector_bytes(context) // size)
            pointers = [
                builder.gep(storage, [index])
                for index in slots(builder, arguments[1], arguments[2], arguments[3], odd=odd)
            ]
            if not odd and not tail:
                for pointer in pointers:
                    _prefetch(
                        builder, builder.bitcast(builder.gep(pointer, [arguments[4]]), ir.IntType(8).as_pointer())
                    )
            pointers = [builder.bitcast(pointer, kind.as_pointer()) for pointer in pointers]
            values = [builder.extract_value(arguments[6], k) for k in range(5)]
            even_rate, odd_rate, *force = (Lanes(builder, splat(builder, value, kind.count)) for value in values)
            constant = constants(builder, kind)
            if tail:
                load, store = _masked(builder, kind, size)
                index = ir.Constant(ir.VectorType(INT, kind.count), list(range(kind.count)))
                mask = builder.icmp_signed("<", index, splat(builder, arguments[5], kind.count))
                align, zero = ir.Constant(FLAG, size), constant(Fraction(0)).value
                arriving = [builder.call(load, [pointer, align, mask, zero]) for pointer in pointers]
            else:
                arriving = [builder.load(pointer, align=size) for pointer in pointers]
            leaving = collide(
                [Lanes(builder, value) for value in arriving],
                (even_rate, odd_rate),
                force if forced else None,
                constant,
            )
            for i, population in enumerate(leaving):
                if tail:
                    builder.call(store, [population.value, pointers[OPPOSITE[i]], align, mask])
                else:
                    builder.store(population.value, pointers[OPPOSITE[i]], align=size)
            return context.get_dummy_value()

        return types.void(f, rows, stride, x, ahead, count, parameters), generate

    return cells


def opening(*, odd: bool) -> Any:
    """An intrinsic: what comes back from an open end (see `collision.open_end`), after a step of that parity.

    Its arguments: storage (1-D), rows, stride, x of the cell, direction that left (an index, at run time).
    """

    @intrinsic
    def returning(_typing: Any, f: Any, rows: Any, stride: Any, x: Any, direction: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
            storage = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
            kind = context.get_value_type(signature.args[0].dtype)
            where = slots(builder, arguments[1], arguments[2], arguments[3], odd=odd)
            left = [Lanes(builder, builder.load(builder.gep(storage, [where[OPPOSITE[i]]]))) for i in range(Q)]
            constant = constants(builder, kind)
            value = constant(Fraction(0)).value
            for i in range(1, Q):
                chosen = builder.icmp_signed("==", arguments[4], ir.Constant(INT, i))
                value = builder.select(chosen, open_end(left, i, constant).value, value)
            return value

        return f.dtype(f, rows, stride, x, direction), generate

    return returning


@intrinsic
def _lanes(_typing: Any, f: Any) -> Any:
    """Cells in a vector, for the storage's type and the processor that is compiled for."""

    def generate(context: Any, _builder: ir.IRBuilder, signature: Any, _arguments: Sequence[ir.Value]) -> ir.Value:
        return ir.Constant(INT, vector_bytes(context) * 8 // signature.args[0].dtype.bitwidth)

    return types.int64(f), generate


lanes: Final[Any] = _lanes  # for callers in compiled code, who give no typing context
