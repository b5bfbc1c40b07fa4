"""The commands `mltk ssh` and `mltk ssh-keygen`."""
