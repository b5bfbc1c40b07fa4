"""Importable as `mltk.core.preprocess.audio`."""
