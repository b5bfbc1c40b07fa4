"""The data path: list, split, read, batch and prefetch samples."""
