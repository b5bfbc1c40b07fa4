"""The parts that a model specification is put together from."""
