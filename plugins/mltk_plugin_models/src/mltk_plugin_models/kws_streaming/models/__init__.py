"""Networks that are built from flags."""
