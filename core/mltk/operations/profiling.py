"""Profile a `.tflite` model. No code of a file is run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.model.event import MltkModelEvent
from mltk.model.operation import operation
from mltk.operations.profilers import choose_profiler
from mltk.operations.quantize import load_tflite_model
from mltk.results.profiling import ProfilingModelResults
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite import TfliteModel
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.plugins.types import Profiler


def profile_model(
    model: MltkModel | TfliteModel | str | Path,
    image_path: str | None = None,
    accelerator: str | None = None,
    baud: int = 115200,
    port: str | None = None,
    use_device: bool = False,
    build: bool = False,
    platform: str | None = None,
    runtime_buffer_size: int = -1,
    test: bool = False,
    post_process: bool = True,
    return_estimates: bool = False,
    *,
    trust: bool = False,
    **kwargs: object,
) -> ProfilingModelResults:
    """Profile a quantized model.

    The built-in profiler `static` reads the file: layers with operations, MACs, shapes, types, quantization and sizes.
    It runs nothing, so it knows no times and no memory of a runtime; profilers of plugins may. Layers that the
    runtime does not support are marked, and named in a warning.

    Args:
        model: Model, name, path of a specification, archive or `.tflite` file, or a `TfliteModel`. No code is run from
            an archive.
        image_path: Accepted for compatibility, like all arguments about hardware; only the default value is possible.
        accelerator: Name of the profiler to use, which mltk, a plugin or the specification offers. By default one that
            is offered as the default, else `static`.
        baud: See `image_path`.
        port: See `image_path`.
        use_device: See `image_path`.
        build: Train a throw-away trial model, convert that, and profile it.
        platform: See `image_path`.
        runtime_buffer_size: See `image_path`.
        test: Use the trial run's files.
        post_process: Accepted for compatibility.
        return_estimates: Cycles, time and energy of a device cannot be estimated here: they stay 0, with a warning.
        trust: Allow an archive's own specification to run, which `build` needs.
        **kwargs: None is possible.

    Returns:
        The results of the profiler. If a specification was loaded, handlers of `AFTER_PROFILE` receive them.

    Raises:
        SpecificationError: There is no such profiler, or an argument is about hardware.
        ModelNotFoundError: There is no such model.
        ArchiveFileNotFoundError: It was not trained yet.
        FileFormatError: The file is damaged.
    """
    _check_arguments(
        kwargs,
        image_path=image_path,
        baud=baud,
        port=port,
        use_device=use_device,
        platform=platform,
        runtime_buffer_size=runtime_buffer_size,
    )
    if return_estimates:
        get_mltk_logger().warning(
            "Cycles, time and energy on a device cannot be estimated: silabs-mltk used a service of Silicon Labs for "
            "it. They are 0 unless the profiler measures them."
        )
    source = ModelSource.of(model, test=test)
    if build and source.is_model_file:
        raise SpecificationError("A .tflite cannot be built: give a specification, or leave out build.")
    if source.kind is not SourceKind.SPECIFICATION and not build:
        return _profile(choose_profiler(accelerator), source.tflite())
    mltk_model = source.specification(trust=trust)
    with operation(mltk_model):
        profiler = choose_profiler(accelerator)
        results = _profile(profiler, load_tflite_model(mltk_model, build=build))
        mltk_model.trigger_event(MltkModelEvent.AFTER_PROFILE, results=results)
    mltk_model.raise_failures(results)
    return results


def _check_arguments(unknown: Mapping[str, object], **hardware: object) -> None:
    parameters = inspect.signature(profile_model).parameters
    for name in unknown:
        raise SpecificationError(f"profile_model() has no argument '{name}'.{did_you_mean(name, parameters)}")
    given = [
        f"{name}={value!r}"
        for name, value in hardware.items()
        if value not in (None, parameters[name].default)
    ]
    if given:
        raise SpecificationError(
            f"profile_model() reaches no hardware: leave out {', '.join(given)}. Profiling on hardware or in a "
            f"simulator needs a plugin that offers it; choose its profiler with accelerator='NAME'."
        )


def _profile(profiler: Profiler, tflite_model: TfliteModel) -> ProfilingModelResults:
    results = profiler.profile(tflite_model)
    if not isinstance(results, ProfilingModelResults):
        raise MltkError(
            f"The profiler '{profiler.name}' must return ProfilingModelResults, not {type(results).__name__}."
        )
    if results.unsupported_layers:
        named = "; ".join(
            f"{layer.name}: {layer.error_msg or 'no reason'}" for layer in results.unsupported_layers
        )
        get_mltk_logger().warning(
            "The profiler '%s' cannot run %s. Layers that are not supported: %s.",
            profiler.name,
            tflite_model.source,
            named,
        )
    return results
