"""The built-in commands: import string and one line for the help, so that help imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """A built-in command."""

    target: str
    """Import string `module:attribute` of a `click.Command`."""
    summary: str


COMMANDS: Mapping[str, Row] = {
    "train": Row("mltk.cli.train_cmd:train_command", "Train a model; then quantize, evaluate and pack it."),
    "quantize": Row("mltk.cli.quantize_cmd:quantize_command", "Convert a trained model to a .tflite file."),
    "evaluate": Row("mltk.cli.evaluate_cmd:evaluate_command", "Judge a trained model, or any .tflite file."),
    "summarize": Row("mltk.cli.summarize_cmd:summarize_command", "Show the layers and costs of a model."),
    "compare": Row("mltk.cli.compare_cmd:compare_command", "Show several trained models side by side."),
    "profile": Row("mltk.cli.profile_cmd:profile_command", "Show the operations and sizes of a .tflite."),
    "view": Row("mltk.cli.view_cmd:view_command", "Show the graph of a model in the browser."),
    "tensorboard": Row(
        "mltk.cli.tensorboard_cmd:tensorboard_command", "Show the course of a training in the browser."
    ),
    "compile": Row("mltk.cli.compile_cmd:compile_command", "Compile a .tflite for an accelerator."),
    "update-params": Row(
        "mltk.cli.update_params_cmd:update_params_command", "Change the parameters inside a .tflite file."
    ),
    "doctor": Row("mltk.cli.doctor_cmd:doctor_command", "Say what a specification for silabs-mltk needs."),
    "custom": Row("mltk.cli.custom_cmd:custom_command", "Run a command that a model specification defines."),
    "plugins": Row("mltk.cli.plugins_cmd:plugins_command", "List, check and create plugins."),
}
