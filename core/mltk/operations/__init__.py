"""The operations on a model: train, convert, evaluate, profile, inspect."""
