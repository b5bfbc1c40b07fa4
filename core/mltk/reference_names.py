"""Import paths of silabs-mltk: the modules that answer to them here, and why some are absent.

Names of packages (`mltk.core.train_model`) stand in the packages' stubs, `mltk/core/**/__init__.pyi`.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

_WHOLE = {
    "mltk.core.model": ("model", "model_utils"),
    "mltk.core.preprocess.audio.audio_feature_generator": (
        "audio_feature_generator",
        "audio_feature_generator_settings",
    ),
    "mltk.core.preprocess.audio.parallel_generator": ("directory_iterator", "iterator", "parallel_generator"),
    "mltk.core.preprocess.image.parallel_generator": ("directory_iterator", "iterator", "parallel_generator"),
    "mltk.core.preprocess.utils": ("list_directory",),
    "mltk.models.shared": (
        "dsconv_arm",
        "fully_connected_autoencoder",
        "mobilenet_v1",
        "mobilenet_v2",
        "resnet_v1",
    ),
}
"""Modules that answer in place of modules below them, in which silabs-mltk keeps their parts."""
_MIXINS = (
    "audio_dataset",
    "data_generator_dataset",
    "dataset",
    "evaluate",
    "evaluate_autoencoder",
    "evaluate_classifier",
    "image_dataset",
    "ssh",
    "train",
    "weights_and_biases",
)

MODULES = {
    "mltk.cli.utils": "mltk.cli",
    "mltk.core.archive": "mltk.utils.model_archive",
    "mltk.core.compare_models": "mltk.operations.compare",
    "mltk.core.compile_model": "mltk.operations.compilation",
    "mltk.core.evaluate_classifier": "mltk.operations.evaluation.classifier",
    "mltk.core.evaluate_model": "mltk.operations.evaluation.evaluate",
    "mltk.core.evaluation_results": "mltk.results.evaluation",
    "mltk.core.keras.callbacks": "mltk.keras.callbacks",
    "mltk.core.keras.callbacks.learn_rate_scheduler": "mltk.keras.callbacks",
    "mltk.core.keras.models": "mltk.keras.models",
    "mltk.core.logging": "mltk.utils.logging",
    "mltk.core.model.archive_mixin": "mltk.model.mixins.archive",
    "mltk.core.model.attributes": "mltk.model.attributes",
    "mltk.core.model.metrics": "mltk.tflite.metrics",
    "mltk.core.model.metrics.calculate_metrics": "mltk.tflite.metrics",
    "mltk.core.model.mixins": "mltk.model.mixins",
    "mltk.core.model.mixins.archive_mixin": "mltk.model.mixins.archive",
    "mltk.core.model.mixins.tflite_model_metadata_mixin": "mltk.model.mixins.parameters",
    "mltk.core.model.mixins.tflite_model_parameters_mixin": "mltk.model.mixins.parameters",
    "mltk.core.model.mltk_model": "mltk.model.model",
    "mltk.core.model.model_attributes": "mltk.model.attributes",
    "mltk.core.model.model_event": "mltk.model.event",
    "mltk.core.preprocess.utils.normalize": "mltk.data.normalize",
    "mltk.core.profile_model": "mltk.operations.profiling",
    "mltk.core.profiling_results": "mltk.results.profiling",
    "mltk.core.quantize_model": "mltk.operations.quantize",
    "mltk.core.summarize_model": "mltk.operations.summarize",
    "mltk.core.tflite_model": "mltk.tflite",
    "mltk.core.tflite_model.tflite_layer": "mltk.tflite",
    "mltk.core.tflite_model.tflite_model": "mltk.tflite",
    "mltk.core.tflite_model.tflite_tensor": "mltk.tflite",
    "mltk.core.tflite_model.tflite_types": "mltk.tflite",
    "mltk.core.tflite_model_parameters": "mltk.tflite.parameters",
    "mltk.core.tflite_model_parameters.tflite_model_parameters": "mltk.tflite.parameters",
    "mltk.core.train_model": "mltk.operations.pipeline",
    "mltk.core.training_results": "mltk.results.training",
    "mltk.core.update_model_parameters": "mltk.operations.update_parameters",
    "mltk.core.view_model": "mltk.operations.view",
    **{f"{whole}.{part}": whole for whole, parts in _WHOLE.items() for part in parts},
    **{f"mltk.core.model.mixins.{kind}_mixin": "mltk.core.model" for kind in _MIXINS},
}
"""Old module to the module that answers to it."""

_BOARD = "it needs hardware or programs of Silicon Labs. A plugin can offer profilers, compilers and commands for it."
_SPEECH = "it calls paid speech services. Use a speech program, and give the folder of its files as my_model.dataset."
_INSIDE = "it is an internal part of silabs-mltk."
_GONE_TENSORFLOW = "it needs functions that TensorFlow and Keras 3 no longer have."
_GENERATOR = "use the methods of the data generator: flow, flow_from_directory, apply_transform."
_PLAN = "the package tflite-micro does not report its plan; profile_model reports the memory."
_CLEAN = "load_clean_data of speech_commands_v2 itself finds recordings without a word."
_SPECIFICATION = (
    "copy the specification of silabs-mltk, and the modules beside it, into your folder; it runs there."
)
_CLICK = "click passes unknown arguments on (allow_extra_args in context_settings)."
_SOURCE = "the files come from another place; see SOURCES, DOWNLOAD_URL and CHECKSUM of the module."

ABSENT = {
    "mltk.MLTK_ROOT_DIR": "there is no checkout with C++ sources. MLTK_DIR is the folder of the package.",
    "mltk.disable_tensorflow": "TensorFlow is only imported where it is needed.",
    "mltk.cli.*ParsingCommand": _CLICK,
    "mltk.cli.*OptionParser": _CLICK,
    "mltk.cli.create_cli": "plugins add commands: see mltk plugins new.",
    "mltk.core.compile_model.*": _BOARD,
    "mltk.core.evaluate_autoencoder.*": "use the methods of AutoEncoderEvaluationResults.",
    "mltk.core.evaluate_classifier.*": "use the methods of ClassifierEvaluationResults.",
    "mltk.core.evaluate_model.*": "set my_model.eval_custom_function and call evaluate_model.",
    "mltk.core.keras.tensorflow_placeholder": "TensorFlow is only imported where it is needed.",
    "mltk.core.model.metrics.*": "use tflite_model_metrics of mltk.tflite.metrics, or summarize_model.",
    "mltk.core.model.mixins.base_mixin": "inherit MltkModel.",
    "mltk.core.model.mixins.archive_mixin.*": "use get_archive_file, get_archive_dir and archive_path of the model.",
    "mltk.core.model.mixins.data_generator_dataset_mixin.*": "use DataGeneratorContext of mltk.data.",
    "mltk.core.model.mixins.image_dataset_mixin.*": "call load_dataset of the model.",
    "mltk.core.model.mixins.streaming_mixin": _GONE_TENSORFLOW,
    "mltk.core.model.mixins.tflite_model_*": "use model_parameters and add_tflite_metadata_entry of the model.",
    "mltk.core.model.model_attributes.*": "use attributes and settings of the model.",
    "mltk.core.preprocess.*.parallel_generator.*": _GENERATOR,
    "mltk.core.preprocess.image.image_database": _INSIDE,
    "mltk.core.profile_model.*": "use profile_model; what needs a board needs a plugin with a profiler.",
    "mltk.core.quantize_model.*": "use quantize_model and my_model.tflite_converter.",
    "mltk.core.tflite_micro.*MemoryPlan*": _PLAN,
    "mltk.core.tflite_micro.*memory_plan": _PLAN,
    "mltk.core.tflite_micro.*Accelerator": _BOARD,
    "mltk.core.tflite_micro.accelerators": _BOARD,
    "mltk.core.tflite_model.experimental": _INSIDE,
    "mltk.core.tflite_model.imp": _INSIDE,
    "mltk.core.tflite_model.tflite_model.TFLITE_FILE_IDENTIFIER": "it is b'TFL3'.",
    "mltk.core.tflite_model.tflite_schema": "use flatbuffer_model of a TfliteModel.",
    "mltk.core.tflite_model.tflite_tensor.*": "use dtype and type_name of a TfliteTensor.",
    "mltk.core.tflite_model_parameters.flatbuffer_dictionary": "use TfliteModelParameters.",
    "mltk.core.tflite_model_parameters.schema": "use TfliteModelParameters.",
    "mltk.core.train_model.compute_class_weights": "set my_model.class_weights = 'balanced'.",
    "mltk.datasets.accelerometer.tflm_magic_wand.*": "load_data of the module prepares and splits the data.",
    "mltk.datasets.audio.speech_commands.*clean*": _CLEAN,
    "mltk.datasets.audio.speech_commands.invalid_samples": _CLEAN,
    "mltk.datasets.*.DOWNLOAD_URL": _SOURCE,
    "mltk.datasets.*.VERIFY_SHA1": _SOURCE,
    "mltk.datasets.*.generate_dataset": _SPEECH,
    "mltk.examples": "the notebooks of silabs-mltk are not part of it; docs/ has guides.",
    "mltk.models.examples": _SPECIFICATION,
    "mltk.models.shared.*.correct_pad": _INSIDE,
    "mltk.models.siliconlabs": _SPECIFICATION,
    "mltk.models.tflite_micro": _SPECIFICATION,
    "mltk.models.tinyml": _SPECIFICATION,
    "mltk.tutorials": "the notebooks of silabs-mltk are not part of it; docs/ has guides.",
    "mltk.utils.adpcm": "use a library for audio files, such as soundfile.",
    "mltk.utils.archive_downloader.MLTK_CHUNK_DELIMITER": "downloads continue where they stopped.",
    "mltk.utils.audio_dataset_generator": _SPEECH,
    "mltk.utils.audio_visualizer": "use mltk view-audio.",
    "mltk.utils.cmake": _BOARD,
    "mltk.utils.commander": _BOARD,
    "mltk.utils.dropbox_upload": _INSIDE,
    "mltk.utils.firmware_apps": _BOARD,
    "mltk.utils.gpu": "TensorFlow finds GPUs itself; the environment variable CUDA_VISIBLE_DEVICES=-1 hides them.",
    "mltk.utils.hasher.hash_object": "use generate_hash.",
    "mltk.utils.hexdump": "use bytes.hex(' ').",
    "mltk.utils.jlink": _BOARD,
    "mltk.utils.jlink_stream": _BOARD,
    "mltk.utils.mltk_assets_internal": _INSIDE,
    "mltk.utils.network": "bind a socket to port 0 to get a free port.",
    "mltk.utils.notebook": "use subprocess.run, or ! in a notebook.",
    "mltk.utils.path.TEMP_BASE_DIR": "use create_tempdir().",
    "mltk.utils.path.add_user_setting": "edit user_settings.yaml.",
    "mltk.utils.path.file_is_in_use": "it only worked on Windows.",
    "mltk.utils.path.get_actual_path": "use pathlib.Path.resolve.",
    "mltk.utils.process_pool_manager": "use concurrent.futures.ProcessPoolExecutor.",
    "mltk.utils.bin2header.main": "call bin2header.",
    "mltk.utils.python.find_object_*": "use getattr and dir.",
    "mltk.utils.serial_reader": _BOARD,
    "mltk.utils.ssh": "use mltk ssh.",
    "mltk.utils.test_helper": "mltk.testing has fixtures for pytest.",
    "mltk.utils.uart_stream": _BOARD,
    "mltk.utils.zipfile_win32": _INSIDE,
}
"""Names of silabs-mltk that mltk does not have, with all below them, and why or what to use; `*` is any text."""


def reason_of_absence(name: str) -> str | None:
    """Return why mltk does not have a name of silabs-mltk; `None` for other names."""
    parts = name.split(".")
    prefixes = [".".join(parts[:n]) for n in range(len(parts), 1, -1)]
    return next((ABSENT[key] for p in prefixes for key in ABSENT if fnmatchcase(p, key)), None)


_resolvers: list[Callable[[str, str], object]] = []
"""The function that finds names which other distributions provide (`mltk._namespace`)."""


def set_resolver(resolve: Callable[[str, str], object]) -> None:
    """Set the function that the modules with `late_names` ask for names that they do not have."""
    _resolvers[:] = [resolve]


def late_names(module: str) -> Callable[[str], object]:
    """Return a `__getattr__` for a module of core to which plugins add names of silabs-mltk."""

    def get(name: str) -> object:
        if name.startswith("_"):
            # The import system asks for such names, also before there is a resolver.
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        return _resolvers[0](module, name)

    return get
