"""Importable as `mltk.core.preprocess.image`."""
