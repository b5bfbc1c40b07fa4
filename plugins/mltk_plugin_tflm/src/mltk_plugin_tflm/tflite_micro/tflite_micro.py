"""`TfliteMicro`: load, profile and record models."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from mltk.core import ProfilingModelResults, TfliteLayer, TfliteModel, load_tflite_model, profile_model
from mltk.errors import SpecificationError
from mltk.tflite import TfliteTensor
from mltk_plugin_tflm.tflite_micro.tflite_micro_accelerator import TfliteMicroAccelerator, refuse
from mltk_plugin_tflm.tflite_micro.tflite_micro_model import TfliteMicroModel
from mltk_plugin_tflm.tflite_micro.tflite_micro_model_details import TfliteMicroModelDetails

ModelLike = str | os.PathLike[str] | TfliteModel
Values = np.ndarray | Sequence[np.ndarray] | None

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}


class TfliteMicro:
    """TensorFlow Lite Micro with its reference kernels, on this computer. All methods are static."""

    _logger = logging.getLogger("mltk.tflm")

    @staticmethod
    def git_hash() -> str:
        """Return the version of the package `tflite-micro`."""
        return version("tflite-micro")

    @staticmethod
    def api_version() -> int:
        """Return the version of this interface."""
        return 1

    @staticmethod
    def set_log_level(level: str) -> str:
        """Set the level of the logger, one of `debug`, `info`, `warn` and `error`; return the previous one."""
        if level not in _LEVELS:
            raise SpecificationError(f"The level '{level}' must be one of {', '.join(_LEVELS)}.")
        before = TfliteMicro.get_log_level()
        TfliteMicro._logger.setLevel(_LEVELS[level])
        return before

    @staticmethod
    def get_log_level() -> str:
        """Return the level of the logger."""
        name = logging.getLevelName(TfliteMicro._logger.getEffectiveLevel())
        return next((level for level, standard in _LEVELS.items() if standard == name), "error")

    @staticmethod
    def set_logger(logger: logging.Logger) -> None:
        """Set the logger."""
        TfliteMicro._logger = logger

    @staticmethod
    def get_logger() -> logging.Logger:
        """Return the logger."""
        return TfliteMicro._logger

    @staticmethod
    def normalize_accelerator_name(accelerator: str | None) -> str | None:
        """Return `None`: no accelerator is known."""
        return None

    @staticmethod
    def get_supported_accelerators() -> list[str]:
        """Return an empty list: accelerators are hardware of Silicon Labs."""
        return []

    @staticmethod
    def accelerator_is_supported(accelerator: str | None) -> bool:
        """Return False."""
        return False

    @staticmethod
    def get_accelerator(name: str) -> TfliteMicroAccelerator:
        """Raise an error that says that there are no accelerators."""
        raise refuse(name)

    @staticmethod
    def register_accelerator(accelerator: TfliteMicroAccelerator) -> None:
        """Raise an error that says that there are no accelerators."""
        raise refuse(accelerator)

    @staticmethod
    def add_accelerator_path(path: str) -> None:
        """Raise an error that says that there are no accelerators."""
        raise refuse(path)

    @staticmethod
    def load_tflite_model(
        model: ModelLike,
        accelerator: str | None = None,
        enable_profiler: bool = False,
        enable_recorder: bool = False,
        enable_tensor_recorder: bool = False,
        force_buffer_overlap: bool = False,
        runtime_buffer_size: int | None = None,
        **_: object,
    ) -> TfliteMicroModel:
        """Load a model; `unload_model` frees it.

        Args:
            model: Path of a `.tflite`, name or path of a model, or a `TfliteModel`.
            accelerator: Must be `None`.
            enable_profiler: Allow `get_profiling_results`.
            enable_recorder: Record the tensors of inferences.
            enable_tensor_recorder: The same.
            force_buffer_overlap: Without effect.
            runtime_buffer_size: Without effect: the memory is as large as the model needs.

        Raises:
            TflmError: TFLM cannot run the model, or an accelerator is asked for.
        """
        if accelerator is not None:
            raise refuse(accelerator)
        return TfliteMicroModel(_load(model), enable_profiler, enable_recorder or enable_tensor_recorder)

    @staticmethod
    def unload_model(model: TfliteMicroModel) -> None:
        """Free a model."""
        model.close()

    @staticmethod
    def profile_model(
        model: ModelLike,
        accelerator: str | None = None,
        return_estimates: bool = False,
        disable_simulator_backend: bool = False,
        runtime_buffer_size: int = -1,
        input_data: Values = None,
        **_: object,
    ) -> ProfilingModelResults:
        """Profile a model with TFLM (see `mltk.core.profile_model`).

        Args:
            model: See `load_tflite_model`.
            accelerator: Must be `None`.
            return_estimates: Warn that values of a device are not estimated.
            disable_simulator_backend: Without effect.
            runtime_buffer_size: Without effect.
            input_data: Without effect: the kernels take the same time for all inputs.
        """
        if accelerator is not None:
            raise refuse(accelerator)
        tflite_model = _load(model)
        results = profile_model(tflite_model, accelerator="tflm", return_estimates=return_estimates)
        results.tflite_micro_model_details = TfliteMicroModelDetails(tflite_model)
        return results

    @staticmethod
    def record_model(
        model: ModelLike,
        input_data: Values = None,
        accelerator: str | None = None,
        enable_accelerator_recorder: bool = False,
        disable_simulator_backend: bool = False,
        enable_tensor_recorder: bool = True,
        return_model_details: bool = False,
        update_input_model: bool = False,
        layer_callback: Callable[[TfliteLayer], object] | None = None,
    ) -> list[TfliteLayer] | tuple[list[TfliteLayer], TfliteMicroModelDetails]:
        """Run one inference and return the layers, whose tensors have the values of the inference in `data`.

        Args:
            model: See `load_tflite_model`.
            input_data: Values of the first input, or a list with those of all; zeros by default.
            accelerator: Must be `None`.
            enable_accelerator_recorder: Must be false.
            disable_simulator_backend: Without effect.
            enable_tensor_recorder: Without effect: tensors are always recorded.
            return_model_details: Return a pair of layers and details.
            update_input_model: Must be false: the model in memory is not changed.
            layer_callback: Called with each layer, in their order; a false result ends the list.

        Raises:
            TflmError: TFLM cannot run the model, or an accelerator is asked for.
        """
        if accelerator is not None or enable_accelerator_recorder:
            raise refuse(accelerator)
        if update_input_model:
            raise SpecificationError(
                "record_model() does not change the given model: leave out update_input_model."
            )
        loaded = TfliteMicro.load_tflite_model(model, enable_recorder=True)
        try:
            given = [] if input_data is None else input_data
            for index, value in enumerate([given] if isinstance(given, np.ndarray) else given):
                loaded.input(index, value)
            loaded.invoke()
            layers = _with_values(loaded.tflite_model, loaded.recorded_values())
        finally:
            TfliteMicro.unload_model(loaded)
        for number, layer in enumerate(layers):
            if layer_callback is not None and not layer_callback(layer):
                layers = layers[: number + 1]
                break
        return (layers, loaded.details) if return_model_details else layers


class _RecordedTensor(TfliteTensor):
    """A tensor with the values of an inference."""

    def __init__(self, tensor: TfliteTensor, value: np.ndarray) -> None:
        super().__init__(tensor.index, tensor.model, tensor._fb)
        self._value = value

    @property
    def data(self) -> np.ndarray:
        """Values of the tensor in the inference."""
        return self._value

    @data.setter
    def data(self, values: npt.ArrayLike) -> None:
        self._value = np.asarray(values)


def _with_values(model: TfliteModel, values: Mapping[int, np.ndarray]) -> list[TfliteLayer]:
    """Return the layers of a copy of a model, with values for its tensors."""
    copied = TfliteModel(model.flatbuffer_data, model.path)
    copied.tensors[:] = [
        _RecordedTensor(tensor, values[tensor.index]) if tensor.index in values else tensor
        for tensor in copied.tensors
    ]
    return copied.layers


def _load(model: ModelLike) -> TfliteModel:
    return model if isinstance(model, TfliteModel) else load_tflite_model(os.fspath(model))
