"""What a plugin needs: `hookimpl`, the values that hooks take and return, and the manager that calls them.

The hooks themselves are described in `mltk.plugins.hookspecs`.
"""

from mltk.plugins._manager import (
    API_VERSION,
    PluginManager,
    PluginRecord,
    call_each,
    call_first,
    collect_offers,
    get_plugin_manager,
    hookimpl,
    specification_registered,
)
from mltk.plugins.types import (
    AugmentationStep,
    BatchTransform,
    Command,
    Compiler,
    CustomObjects,
    EvaluationContext,
    Evaluator,
    LoadedDataset,
    Parameter,
    Parameters,
    Predictor,
    Profiler,
    RepresentativeDataset,
    Runtime,
    Subset,
)

__all__ = [
    "API_VERSION",
    "AugmentationStep",
    "BatchTransform",
    "Command",
    "Compiler",
    "CustomObjects",
    "EvaluationContext",
    "Evaluator",
    "LoadedDataset",
    "Parameter",
    "Parameters",
    "PluginManager",
    "PluginRecord",
    "Predictor",
    "Profiler",
    "RepresentativeDataset",
    "Runtime",
    "Subset",
    "call_each",
    "call_first",
    "collect_offers",
    "get_plugin_manager",
    "hookimpl",
    "specification_registered",
]
