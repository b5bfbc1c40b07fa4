"""Vectors of integers for numba: the front end computes one step for several windows at once.

Compilers do not vectorize the butterflies of a Fourier transform, because they cannot prove that the values written
do not overlap those still to be read. A vector type makes that explicit, on any processor.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeAlias

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import types
from numba.core.base import BaseContext as Context
from numba.core.datamodel import DataModelManager
from numba.core.typing.context import BaseContext as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, models, overload, register_model

COUNT = 16
"""Number of integers in a vector."""

Values: TypeAlias = Sequence[Value]
Typed: TypeAlias = tuple[Signature, Callable[..., object]]
"""Signature of an intrinsic and the function that generates its code."""

_P = ParamSpec("_P")


class Lanes(types.Type):
    """The numba type of a vector of `COUNT` integers of 16, 32 or 64 bits. Arithmetic wraps around."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(name=f"Lanes({bits})")

    if TYPE_CHECKING:
        # In compiled code, values of this type support the operators defined at the end of this module.
        def __add__(self, other: Lanes | int) -> Lanes: ...
        def __sub__(self, other: Lanes | int) -> Lanes: ...
        def __mul__(self, other: Lanes | int) -> Lanes: ...
        def __rshift__(self, other: int) -> Lanes: ...


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: DataModelManager, kind: Lanes) -> None:
        super().__init__(manager, kind, _vector(kind.bits))


def _vector(bits: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), COUNT)


def _pointer(context: Context, builder: Builder, array: types.Array, value: Value, index: Value) -> Value:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), _vector(array.dtype.bitwidth).as_pointer())


def _intrinsic(function: Callable[Concatenate[TypingContext, _P], Typed | None]) -> Callable[_P, Lanes]:
    """Apply `numba.extending.intrinsic`, which has no type annotations."""
    decorated: Callable[_P, Lanes] = intrinsic(function)
    return decorated


@_intrinsic
def load(typing: TypingContext, array: types.Array, index: types.Integer) -> Typed:
    """Return `array[index : index + COUNT]` of a contiguous one-dimensional array of integers."""

    def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> Value:
        pointer = _pointer(context, builder, array, values[0], values[1])
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype.bitwidth)(array, types.intp), generate


@_intrinsic
def store(typing: TypingContext, array: types.Array, index: types.Integer, lanes: Lanes) -> Typed:
    """Set `array[index : index + COUNT]`."""

    def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> None:
        pointer = _pointer(context, builder, array, values[0], values[1])
        builder.store(values[2], pointer, align=array.dtype.bitwidth // 8)

    return types.void(array, types.intp, lanes), generate


@_intrinsic
def resize(typing: TypingContext, lanes: Lanes, bits: types.IntegerLiteral) -> Typed | None:
    """Convert the integers to another number of bits; narrower ones keep their low bits."""
    if not isinstance(bits, types.IntegerLiteral):
        return None  # numba calls again with the literal
    kind = Lanes(bits.literal_value)

    def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> Value:
        change = builder.sext if kind.bits > lanes.bits else builder.trunc
        return change(values[0], _vector(kind.bits))

    return kind(lanes, bits), generate


@_intrinsic
def spread(typing: TypingContext, like: Lanes, value: types.Integer) -> Typed:
    """Return a vector of the type of `like` with `value` in each place."""

    def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> Value:
        scalar = context.cast(builder, values[1], signature.args[1], getattr(types, f"int{like.bits}"))
        vector = ir.Constant(_vector(like.bits), ir.Undefined)
        first = builder.insert_element(vector, scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [0] * COUNT)
        return builder.shuffle_vector(first, vector, zeros)

    return like(like, types.unliteral(value)), generate


def _define_operator(function: Callable[..., object], instruction: str) -> None:
    @_intrinsic
    def apply(typing: TypingContext, a: Lanes, b: Lanes) -> Typed:
        def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> Value:
            return getattr(builder, instruction)(*values)

        return a(a, a), generate

    # numba compares the signatures of these two with that of `choose`.
    def with_lanes(a: types.Type, b: types.Type) -> types.Type:
        return apply(a, b)

    def with_number(a: types.Type, b: types.Type) -> types.Type:
        return apply(a, spread(a, b))

    def choose(a: types.Type, b: types.Type) -> Callable[..., types.Type] | None:
        if not isinstance(a, Lanes):
            return None
        return with_lanes if a == b else with_number

    overload(function)(choose)


_define_operator(operator.add, "add")
_define_operator(operator.iadd, "add")
_define_operator(operator.sub, "sub")
_define_operator(operator.mul, "mul")
_define_operator(operator.rshift, "ashr")
