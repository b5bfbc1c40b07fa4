"""Keras: how it is loaded, its files, and the callbacks of the training operation."""
