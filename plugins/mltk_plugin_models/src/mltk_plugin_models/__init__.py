"""Networks for small devices to build specifications on, for mltk."""
