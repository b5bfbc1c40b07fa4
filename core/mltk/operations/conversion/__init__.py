"""Convert a trained model to a `.tflite` file."""
