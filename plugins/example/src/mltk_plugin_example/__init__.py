"""Calibration error of classifiers: an evaluator for mltk."""
