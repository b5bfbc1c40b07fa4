"""mltk: train, quantize, evaluate and pack models for microcontrollers, from one Python file."""

__version__ = "0.1.0"
