"""Image data sets and augmentation for mltk."""
