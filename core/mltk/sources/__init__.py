"""Find and load what the user names: specifications, archives and model files."""
