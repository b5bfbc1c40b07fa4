"""A vector of integers for numba: the same step of the front end on several windows at once.

Compilers do not turn the butterflies of a Fourier transform into vector instructions by themselves, because they cannot
know that the values written do not overlap those still to be read. With a type that *is* a vector they need not
know. Every processor's compiler back end takes it, in as many registers as it needs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

COUNT = 16
"""Integers in a vector."""


class Lanes(types.Type):  # type: ignore[misc]
    """The numba type of a vector of `COUNT` integers of 16, 32 or 64 bits. Arithmetic wraps around."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(name=f"Lanes({bits})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _vector(kind.bits))


def _vector(bits: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), COUNT)


def _pointer(context: Any, builder: Any, array: types.Array, value: Any, index: Any) -> Any:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), _vector(array.dtype.bitwidth).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: types.Array, index: types.Integer) -> Any:
    """Return `array[index : index + COUNT]` of a contiguous one-dimensional array of integers."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, array, values[0], values[1])
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype.bitwidth)(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: types.Array, index: types.Integer, lanes: Lanes) -> Any:
    """Set `array[index : index + COUNT]`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, array, values[0], values[1])
        builder.store(values[2], pointer, align=array.dtype.bitwidth // 8)

    return types.void(array, types.intp, lanes), generate


@intrinsic  # type: ignore[untyped-decorator]
def resize(typing: Any, lanes: Lanes, bits: types.IntegerLiteral) -> Any:
    """Return the integers with more bits, or with only their low ones."""
    if not isinstance(bits, types.IntegerLiteral):
        return None  # numba asks again with the literal
    kind = Lanes(bits.literal_value)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        change = builder.sext if kind.bits > lanes.bits else builder.trunc
        return change(values[0], _vector(kind.bits))

    return kind(lanes, bits), generate


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, like: Lanes, value: types.Integer) -> Any:
    """Return a vector of the kind of `like` with `value` everywhere."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        scalar = context.cast(builder, values[1], signature.args[1], getattr(types, f"int{like.bits}"))
        vector = ir.Constant(_vector(like.bits), ir.Undefined)
        first = builder.insert_element(vector, scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [0] * COUNT)
        return builder.shuffle_vector(first, vector, zeros)

    return like(like, types.unliteral(value)), generate


def _operator(function: Callable[[Any, Any], Any], instruction: str) -> None:
    @intrinsic  # type: ignore[untyped-decorator]
    def apply(typing: Any, a: Lanes, b: Lanes) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return getattr(builder, instruction)(*values)

        return a(a, a), generate

    # numba compares the annotations of these with those of `typed`.
    def with_lanes(a: Any, b: Any) -> Any:
        return apply(a, b)

    def with_number(a: Any, b: Any) -> Any:
        return apply(a, spread(a, b))

    @overload(function)  # type: ignore[untyped-decorator]
    def typed(a: Any, b: Any) -> Any:
        if not isinstance(a, Lanes):
            return None
        return with_lanes if a == b else with_number


_operator(operator.add, "add")
_operator(operator.iadd, "add")
_operator(operator.sub, "sub")
_operator(operator.mul, "mul")
_operator(operator.rshift, "ashr")
