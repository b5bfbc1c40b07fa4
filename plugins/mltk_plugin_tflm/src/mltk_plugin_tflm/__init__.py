"""Memory, layer support and predictions of models on targets, measured with TensorFlow Lite Micro (TFLM)."""
