"""Read and change `.tflite` files, without TensorFlow."""

from mltk.tflite.layers import (
    TfliteAddLayer,
    TfliteConv2dLayer,
    TfliteDepthwiseConv2dLayer,
    TfliteDequantizeLayer,
    TfliteFullyConnectedLayer,
    TfliteLayer,
    TfliteMulLayer,
    TflitePadLayer,
    TflitePooling2dLayer,
    TfliteQuantizeLayer,
    TfliteReshapeLayer,
    TfliteTransposeConvLayer,
)
from mltk.tflite.model import TfliteModel
from mltk.tflite.options import (
    TfliteAddLayerOptions,
    TfliteConv2DLayerOptions,
    TfliteDepthwiseConv2DLayerOptions,
    TfliteFullyConnectedLayerOptions,
    TfliteLayerOptions,
    TfliteMulLayerOptions,
    TflitePool2DLayerOptions,
    TfliteTransposeConvLayerOptions,
)
from mltk.tflite.tensors import TfliteQuantization, TfliteShape, TfliteTensor
from mltk.tflite.types import TfliteActivation, TfliteOpCode, TflitePadding

__all__ = [
    "TfliteActivation",
    "TfliteAddLayer",
    "TfliteAddLayerOptions",
    "TfliteConv2DLayerOptions",
    "TfliteConv2dLayer",
    "TfliteDepthwiseConv2DLayerOptions",
    "TfliteDepthwiseConv2dLayer",
    "TfliteDequantizeLayer",
    "TfliteFullyConnectedLayer",
    "TfliteFullyConnectedLayerOptions",
    "TfliteLayer",
    "TfliteLayerOptions",
    "TfliteModel",
    "TfliteMulLayer",
    "TfliteMulLayerOptions",
    "TfliteOpCode",
    "TflitePadLayer",
    "TflitePadding",
    "TflitePool2DLayerOptions",
    "TflitePooling2dLayer",
    "TfliteQuantization",
    "TfliteQuantizeLayer",
    "TfliteReshapeLayer",
    "TfliteShape",
    "TfliteTensor",
    "TfliteTransposeConvLayer",
    "TfliteTransposeConvLayerOptions",
]
