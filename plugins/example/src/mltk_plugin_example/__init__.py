"""Calibration of classifiers, an evaluator for mltk."""
