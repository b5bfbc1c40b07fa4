"""Small helpers that scripts for silabs-mltk import from `mltk.utils`; new code uses Python's own libraries."""
