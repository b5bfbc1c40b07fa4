"""Data sets for tf.data pipelines: motions and pictures. What is not downloaded is made by seeded code."""
