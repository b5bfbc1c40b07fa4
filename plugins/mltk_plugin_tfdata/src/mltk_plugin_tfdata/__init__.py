"""tf.data pipelines, from files to training and from one machine to many, for mltk."""
