"""Commands that this plugin adds to `mltk`."""
