"""Results of training, evaluation and profiling, and their plots."""
