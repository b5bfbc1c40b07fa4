"""Weights & Biases for mltk: metrics, weights and results of every run."""
