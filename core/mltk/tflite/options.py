"""Options of the operators of a `.tflite` file, by the names of silabs-mltk and of the schema."""

from __future__ import annotations

import re
from typing import Any, Self, overload

import numpy as np

from mltk.tflite._schema import enum_name
from mltk.tflite.flatbuffer import to_text
from mltk.tflite.types import TfliteActivation, TflitePadding


class TfliteLayerOptions:
    """Options of a layer; every schema field is an attribute, e.g. `options.strideW`.

    Call `TfliteModel.regenerate_flatbuffer` after a change.
    """

    def __init__(self, fb_object: object = None, options_type: int = 0) -> None:
        self.__dict__["_fb"] = fb_object
        self.__dict__["_type"] = options_type

    @property
    def options_type(self) -> int:
        """Schema number of the options type; 0 if there are no options."""
        return int(self.__dict__["_type"])

    @property
    def options_type_str(self) -> str:
        """Schema name of the options type, e.g. `SoftmaxOptions`."""
        return enum_name("BuiltinOptions", self.options_type)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("_fb")
        if name.startswith("_") or fields is None or name not in vars(fields):
            raise AttributeError(f"The options of this layer have no field '{name}'")
        return getattr(fields, name)

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            getattr(self, name)
            setattr(self.__dict__["_fb"], name, value)

    def __str__(self) -> str:
        fields = self.__dict__["_fb"]
        if fields is None:
            return "" if not self.options_type else f"Type={self.options_type_str}"
        # Fields with their default value are left out.
        defaults = vars(type(fields)())
        shown = {name: _short(value) for name, value in vars(fields).items()}
        return " ".join(
            f"{_snake(name)}:{text}" for name, text in shown.items() if text != _short(defaults[name])
        )


class _Integer:
    """An integer field of the schema under another name."""

    def __init__(self, field: str, doc: str) -> None:
        self._field = field
        self.__doc__ = doc

    @overload
    def __get__(self, options: None, owner: object) -> Self: ...

    @overload
    def __get__(self, options: TfliteLayerOptions, owner: object) -> int: ...

    def __get__(self, options: TfliteLayerOptions | None, owner: object) -> int | Self:
        return self if options is None else int(getattr(options, self._field))

    def __set__(self, options: TfliteLayerOptions, value: int) -> None:
        setattr(options, self._field, value)


class WithActivation(TfliteLayerOptions):
    """Options with a fused activation."""

    @property
    def activation(self) -> TfliteActivation:
        """The fused activation; an unknown one is `NONE`."""
        number = int(self.fusedActivationFunction)
        return TfliteActivation(number if number in tuple(TfliteActivation) else 0)

    @activation.setter
    def activation(self, value: TfliteActivation | int | str) -> None:
        self.fusedActivationFunction = int(TfliteActivation.of(value))

    @property
    def activation_str(self) -> str:
        """The fused activation, e.g. `Relu`."""
        return self.activation.to_string()

    @activation_str.setter
    def activation_str(self, value: str) -> None:
        self.activation = TfliteActivation.of(value)

    def __str__(self) -> str:
        return f"Activation:{self.activation}"


class WithWindow(TfliteLayerOptions):
    """Options of a kernel that moves over a picture."""

    stride_width = _Integer("strideW", "Step of the kernel along the width.")
    stride_height = _Integer("strideH", "Step of the kernel along the height.")

    @property
    def padding(self) -> TflitePadding:
        """Padding of the kernel at the border."""
        is_valid = self.__dict__["_fb"].padding == TflitePadding.VALID
        return TflitePadding.VALID if is_valid else TflitePadding.SAME

    @padding.setter
    def padding(self, value: TflitePadding | int | str) -> None:
        self.__dict__["_fb"].padding = int(TflitePadding.of(value))

    @property
    def padding_str(self) -> str:
        """Padding of the kernel at the border: `Same` or `Valid`."""
        return self.padding.to_string()

    @padding_str.setter
    def padding_str(self, value: str) -> None:
        self.padding = TflitePadding.of(value)

    def __str__(self) -> str:
        return f"Padding:{self.padding} stride:{self.stride_height}x{self.stride_width}"


class TfliteConv2DLayerOptions(WithWindow, WithActivation):
    """Options of CONV_2D."""

    def __str__(self) -> str:
        text = f"{WithWindow.__str__(self)} activation:{self.activation}"
        dilation = (int(self.dilationHFactor), int(self.dilationWFactor))
        return text if dilation == (1, 1) else f"{text} dilation:{dilation[0]}x{dilation[1]}"


class TfliteDepthwiseConv2DLayerOptions(TfliteConv2DLayerOptions):
    """Options of DEPTHWISE_CONV_2D."""

    multiplier = _Integer("depthMultiplier", "Output channels per input channel.")

    def __str__(self) -> str:
        return f"Multiplier:{self.multiplier} {super().__str__()}"


class TfliteTransposeConvLayerOptions(WithWindow, WithActivation):
    """Options of TRANSPOSE_CONV."""

    def __str__(self) -> str:
        return f"{WithWindow.__str__(self)} activation:{self.activation}"


class TflitePool2DLayerOptions(WithWindow, WithActivation):
    """Options of AVERAGE_POOL_2D and MAX_POOL_2D."""

    filter_width = _Integer("filterWidth", "Width of the window.")
    filter_height = _Integer("filterHeight", "Height of the window.")

    def __str__(self) -> str:
        window = f"{self.filter_height}x{self.filter_width}"
        return f"{WithWindow.__str__(self)} filter:{window} activation:{self.activation}"


class TfliteFullyConnectedLayerOptions(WithActivation):
    """Options of FULLY_CONNECTED."""


class TfliteUnidirectionalLstmLayerOptions(WithActivation):
    """Options of UNIDIRECTIONAL_SEQUENCE_LSTM."""

    def __str__(self) -> str:
        return f"Time major:{self.timeMajor} activation:{self.activation} cell clip:{self.cellClip:g}"


class TfliteAddLayerOptions(WithActivation):
    """Options of ADD."""


class TfliteMulLayerOptions(WithActivation):
    """Options of MUL."""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return to_text(value)
    if isinstance(value, np.ndarray | list | tuple):
        return "x".join(str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
