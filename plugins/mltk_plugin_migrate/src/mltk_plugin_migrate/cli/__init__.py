"""The command `mltk doctor`."""
