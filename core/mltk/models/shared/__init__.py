"""Networks that several specifications use."""
