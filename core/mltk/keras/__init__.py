"""Keras: loading, files, callbacks and what conversion needs of it."""
