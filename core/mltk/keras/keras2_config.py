"""Descriptions of models as Keras 2 understands them, for `.h5` files that the reference's tools read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NEW = frozenset(
    {
        "ema_momentum",
        "ema_overwrite_frequency",
        "gradient_accumulation_steps",
        "input_axes",
        "jit_compile",
        "lora_alpha",
        "lora_rank",
        "loss_scale_factor",
        "optional",
        "output_axes",
        "quantization_config",
        "use_cudnn",
        "use_ema",
    }
)
"""Arguments of layers, initializers and optimizers that Keras 2 does not take."""


def for_keras_2(description: Any) -> Any:
    """Return what Keras 3 wrote (`model_config` or `training_config` of a `.h5` file) in the words of Keras 2.

    Left as they are, for Keras 2 has no words for them: operations of `keras.ops` in the graph, and calls of layers
    with anything but a tensor or a list of tensors as their first argument.
    """
    if isinstance(description, list):
        return [for_keras_2(part) for part in description]
    if not isinstance(description, dict):
        return description
    if str(description.get("class_name")).endswith("DTypePolicy"):
        return description["config"]["name"]
    result = {key: for_keras_2(value) for key, value in description.items()}
    config = result.get("config")
    if not isinstance(config, dict) or "class_name" not in result:
        return result
    if not _is_of_keras(str(description.get("module", "keras")), str(description["class_name"])):
        return result
    for key in _NEW & config.keys():
        del config[key]
    if config.get("weight_decay", 0) is None:
        del config["weight_decay"]
    if result["class_name"] == "InputLayer" and "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
    if result["class_name"] == "LeakyReLU":
        config["alpha"] = config.pop("negative_slope")
    if "input_layers" in config:
        _describe_graph(config)
    return result


def _is_of_keras(module: str, class_name: str) -> bool:
    """Tell whether a class is one of Keras' own; layers, models and optimizers come without their module."""
    import keras

    places = (keras.layers, keras.models, keras.optimizers, keras.initializers)
    known = class_name == "Functional" or any(hasattr(place, class_name) for place in places)
    return known and module.partition(".")[0] == "keras"


def _describe_graph(config: dict[str, Any]) -> None:
    """Let the layers of a graph refer to each other as in Keras 2."""
    kinds = {layer["name"]: layer["class_name"] for layer in config["layers"]}

    def called(name: str, node: int, tensor: int) -> list[Any]:
        # A model in the graph has been called once before, by itself.
        return [name, node + (kinds[name] in ("Functional", "Sequential")), tensor]

    def results(value: Any) -> list[list[Any]]:
        """Return the references in a structure of Keras 3, which counts that call of its graphs, too, here only."""
        if isinstance(value, dict):
            return [r for part in value.values() for r in results(part)]
        if len(value) == 3 and isinstance(value[0], str):
            name, node, tensor = value
            return [[name, node + (kinds[name] == "Sequential"), tensor]]
        return [r for part in value for r in results(part)]

    for layer in config["layers"]:
        nodes = [_called_with(node, called) for node in layer.get("inbound_nodes", ())]
        if all(node is not None for node in nodes):
            layer["inbound_nodes"] = nodes
    for key in ("input_layers", "output_layers"):
        found = results(config[key])
        config[key] = found if len(found) > 1 else found[0]


def _called_with(node: Any, called: Callable[..., list[Any]]) -> list[Any] | None:
    """Return a call as `[[layer, node, tensor, arguments], …]`; `None` if it cannot be told so."""
    if not isinstance(node, dict) or len(node.get("args", ())) != 1:
        return None
    first = node["args"][0]
    given = first if isinstance(first, list) else [first]
    arguments = {key: value for key, value in node.get("kwargs", {}).items() if value is not None}
    if not given or any(_is_tensor(value) for value in arguments.values()) or not all(map(_is_tensor, given)):
        return None
    return [[*called(*value["config"]["keras_history"]), arguments] for value in given]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"
