"""What specifications use of Google's `kws_streaming`, under its names and on Keras 3."""
