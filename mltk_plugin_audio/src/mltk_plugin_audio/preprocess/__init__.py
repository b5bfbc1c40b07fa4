"""The import path of the reference, `mltk.core.preprocess.audio`."""
