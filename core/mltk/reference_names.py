"""Import paths of silabs-mltk's modules, and the modules that answer to them here.

Names of packages (`mltk.core.train_model`) stand in the packages' stubs, `mltk/core/**/__init__.pyi`.
"""

from __future__ import annotations

MODULES = {
    "mltk.core.archive": "mltk.utils.model_archive",
    "mltk.core.compare_models": "mltk.operations.compare",
    "mltk.core.compile_model": "mltk.operations.compilation",
    "mltk.core.evaluate_classifier": "mltk.operations.evaluation.classifier",
    "mltk.core.evaluate_model": "mltk.operations.evaluation.evaluate",
    "mltk.core.evaluation_results": "mltk.results.evaluation",
    "mltk.core.keras.callbacks": "mltk.keras.callbacks",
    "mltk.core.keras.models": "mltk.keras.models",
    "mltk.core.logging": "mltk.utils.logging",
    "mltk.core.model.archive_mixin": "mltk.model.mixins.archive",
    "mltk.core.model.attributes": "mltk.model.attributes",
    "mltk.core.model.metrics": "mltk.tflite.metrics",
    "mltk.core.model.mixins": "mltk.model.mixins",
    "mltk.core.model.mltk_model": "mltk.model.model",
    "mltk.core.model.model_event": "mltk.model.event",
    "mltk.core.model.model_utils": "mltk.sources.loading",
    "mltk.core.preprocess.utils.normalize": "mltk.data.normalize",
    "mltk.core.profile_model": "mltk.operations.profiling",
    "mltk.core.profiling_results": "mltk.results.profiling",
    "mltk.core.quantize_model": "mltk.operations.quantize",
    "mltk.core.summarize_model": "mltk.operations.summarize",
    "mltk.core.tflite_model": "mltk.tflite",
    "mltk.core.tflite_model.tflite_layer": "mltk.tflite.layers",
    "mltk.core.tflite_model.tflite_model": "mltk.tflite.model",
    "mltk.core.tflite_model.tflite_tensor": "mltk.tflite.tensors",
    "mltk.core.tflite_model_parameters": "mltk.tflite.parameters",
    "mltk.core.tflite_model_parameters.tflite_model_parameters": "mltk.tflite.parameters",
    "mltk.core.train_model": "mltk.operations.pipeline",
    "mltk.core.training_results": "mltk.results.training",
    "mltk.core.update_model_parameters": "mltk.operations.update_parameters",
    "mltk.core.view_model": "mltk.operations.view",
}
