"""Migrate model specifications from silabs-mltk to mltk."""
