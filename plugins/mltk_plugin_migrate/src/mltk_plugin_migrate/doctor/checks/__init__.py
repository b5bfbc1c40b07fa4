"""Checks that need more than a pattern."""
