"""Anomaly detection with autoencoders: evaluation, networks, losses and scores for mltk."""
