"""Run a `.tflite` model with LiteRT."""

from __future__ import annotations

from collections.abc import Iterable

from mltk.plugins import Runtime, hookimpl, import_on_call


@hookimpl(trylast=True)
def mltk_runtimes() -> Iterable[Runtime]:
    """Offer `tflite` and `exact`."""
    return [
        Runtime(
            "tflite",
            "Evaluate the quantized model, with LiteRT, instead of the Keras model.",
            import_on_call("mltk.tflite.interpreter:LiteRtPredictor"),
        ),
        Runtime(
            "exact",
            "Evaluate the quantized model with LiteRT's reference kernels: as a device computes, but slower.",
            import_on_call("mltk.tflite.interpreter:ExactPredictor"),
        ),
    ]
