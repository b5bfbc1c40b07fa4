"""The built-in commands."""

from __future__ import annotations

from collections.abc import Iterable

from mltk.plugins import Command, hookimpl


@hookimpl(trylast=True)
def mltk_commands() -> Iterable[Command]:
    """Offer the commands of mltk, in the order of the help."""
    return [
        Command(name, summary, "mltk.cli.{0}_cmd:{0}_command".format(name.replace("-", "_")))
        for name, summary in (
            ("new", "Write a model specification for a data set."),
            ("train", "Train a model; then quantize, evaluate and pack it."),
            ("quantize", "Convert a trained model to a .tflite file."),
            ("evaluate", "Evaluate a trained model, or any .tflite file."),
            ("predict", "Run a .tflite file on arrays."),
            ("summarize", "Show the layers and costs of a model."),
            ("compare", "Compare several trained models side by side."),
            ("profile", "Show the operations and sizes of a .tflite file."),
            ("view", "Show the graph of a model in the browser."),
            ("tensorboard", "Open TensorBoard for a model."),
            ("compile", "Compile a .tflite file for a device."),
            ("update-params", "Change the parameters in a .tflite file."),
            ("custom", "Run a command that a model specification defines."),
            ("plugins", "List, check and create plugins."),
        )
    ]
