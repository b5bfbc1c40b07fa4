"""Enumerations of the TFLite schema."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mltk.tflite._schema import schema


class _Named(IntEnum):
    """An enumeration whose members are found by number or by case-insensitive name."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None

    @classmethod
    def of(cls, value: int | str) -> Self:
        """Return the member of that number or name (the call of the class, for type checkers)."""
        # `_missing_` also takes names, which the constructor's type hints do not tell.
        return cls(value)  # type: ignore[arg-type]

    def to_string(self) -> str:
        """Return the name, e.g. `Relu` or `Same`."""
        return self.name.title()

    def __str__(self) -> str:
        return self.to_string()


class TfliteActivation(_Named):
    """An activation fused into a layer: `TfliteActivation(1)`, `TfliteActivation('relu')`."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


class TflitePadding(_Named):
    """Padding of a kernel at the border: `TflitePadding(0)`, `TflitePadding('same')`."""

    SAME = 0
    """Zeros around: the output is ceil(input / stride)."""
    VALID = 1
    """The kernel stays inside: the output is ceil((input - kernel + 1) / stride)."""


class _OpCodes(type):
    def __getattr__(cls, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        return int(getattr(schema().BuiltinOperator, name))

    def __dir__(cls) -> list[str]:
        return [name for name in vars(schema().BuiltinOperator) if not name.startswith("_")]


class TfliteOpCode(metaclass=_OpCodes):
    """Numbers of the TFLite operators: `TfliteOpCode.CONV_2D` is 3. All that the installed schema knows."""
