"""Results of training, evaluation and profiling, and their plots.

`EvaluationResults` and `ClassifierEvaluationResults` hold what an evaluation returns, `TrainingResults` the history of
a training run, and `ProfilingModelResults` with a `ProfilingLayerResult` per layer the values of a profiler.
"""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
