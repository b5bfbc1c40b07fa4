"""Data sets, computed from a seed."""
