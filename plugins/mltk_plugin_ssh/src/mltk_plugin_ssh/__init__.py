"""Train mltk models on another machine over SSH."""
