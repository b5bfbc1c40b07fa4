"""Results of evaluations, and the data they are computed from."""
