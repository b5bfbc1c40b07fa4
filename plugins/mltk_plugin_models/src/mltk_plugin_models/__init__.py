"""Neural networks for small devices, for use in model specifications."""
