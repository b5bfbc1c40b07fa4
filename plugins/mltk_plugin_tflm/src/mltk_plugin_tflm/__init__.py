"""What a model needs on the target, measured with TensorFlow Lite Micro, for mltk."""
