"""Declared properties of a model specification, kept in one table under dotted keys.

A mixin declares what a user may set:

    class TrainMixin:
        epochs = Attribute("train.epochs", type=int, default=100, lazy=True)

Assignment checks the type at once, so that a mistake is reported at the line of the specification that makes it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mltk.errors import SpecificationError, did_you_mean


class _Unset:
    def __repr__(self) -> str:
        return "<no value>"


UNSET: Final = _Unset()


class AttributeValueError(SpecificationError, AttributeError):
    """A value of the wrong kind was assigned to a property of a model."""


class Attribute:
    """A property of `MltkModel`, stored in `MltkModel.attributes`.

    Args:
        key: Dotted name in the table. Two attributes with one key are aliases of the same value.
        default: Value when nothing was set; a copy is stored on the first read, so that
            `my_model.checkpoint['monitor'] = …` edits the model's own copy.
        type: Type or types accepted besides `None`; `None` accepts anything.
        lazy: A callable that is assigned is called, without arguments, on each read.
        optional: `None` is a value of its own (it switches something off); otherwise assigning `None` unsets.
        convert: Checks or changes a value on assignment; raises `SpecificationError` for a bad one.
        read_only: Assignment is refused.
        doc: One or two sentences for the user.
    """

    def __init__(
        self,
        key: str,
        *,
        default: Any = UNSET,
        type: type | tuple[type, ...] | None = None,
        lazy: bool = False,
        optional: bool = False,
        convert: Callable[[Any], Any] | None = None,
        read_only: bool = False,
        doc: str = "",
    ) -> None:
        self.key = key
        self.default = default
        self.type = type
        self.lazy = lazy
        self.optional = optional or default is None
        self.convert = convert
        self.read_only = read_only
        self.__doc__ = doc
        self.name = key.rpartition(".")[2]

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        values: dict[str, Any] = instance.attributes.stored
        value = values.get(self.key, UNSET)
        if value is UNSET:
            if self.default is UNSET:
                raise SpecificationError(
                    f"The model '{instance.name}' has no value for '{self.name}'. "
                    f"Set it in the model specification: my_model.{self.name} = …"
                )
            value = values[self.key] = copy.deepcopy(self.default)
        if self.lazy and callable(value):
            try:
                value = self.prepare(value())
            except AttributeValueError as e:
                # Not an AttributeError here: Python would take it for a missing property.
                raise SpecificationError(str(e)) from None
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        if self.read_only:
            raise AttributeError(f"'{self.name}' of a model is set by mltk itself and cannot be assigned.")
        if value is None and not self.optional:
            instance.attributes.stored.pop(self.key, None)
        else:
            instance.attributes.stored[self.key] = self.prepare(value)

    def prepare(self, value: Any) -> Any:
        """Return `value` as it is to be stored; raise `AttributeValueError` when it is not acceptable."""
        if value is None or (self.lazy and callable(value)):
            return value
        self._check(value)
        return self.convert(value) if self.convert else value

    def _check(self, value: Any) -> None:
        if self.type is None or value is None or isinstance(value, self.type):
            return
        types = self.type if isinstance(self.type, tuple) else (self.type,)
        wanted = " or ".join(t.__name__ for t in types)
        raise AttributeValueError(
            f"my_model.{self.name} must be {wanted}, not {type(value).__name__}: {_shorten(value)}"
        )


def one_of(name: str, valid: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return a `convert` for an attribute that must be one of a few values.

    Args:
        name: Of the property.
        valid: The values.
    """

    def convert(value: Any) -> Any:
        if value not in valid:
            raise SpecificationError(
                f"my_model.{name} must be one of {', '.join(map(str, valid))}; "
                f"not '{value}'.{did_you_mean(value, valid)}"
            )
        return value

    return convert


class ModelAttributes(Mapping[str, Any]):
    """The values set on one model, by dotted key; a read-only mapping over the keys that have a value."""

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self.stored: dict[str, Any] = {}

    def declared(self) -> dict[str, Attribute]:
        """Return every declared attribute by its key, bases first."""
        found: dict[str, Attribute] = {}
        for cls in reversed(type(self._owner).__mro__):
            for value in vars(cls).values():
                if isinstance(value, Attribute):
                    found.setdefault(value.key, value)
        return found

    def __contains__(self, key: object) -> bool:
        return key in self.declared()

    def __getitem__(self, key: str) -> Any:
        declared = self.declared()
        if key not in declared:
            raise KeyError(f"No model attribute is named '{key}'.{did_you_mean(key, declared)}")
        return declared[key].__get__(self._owner)

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared())

    def __len__(self) -> int:
        return len(self.declared())


def _shorten(value: object, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
