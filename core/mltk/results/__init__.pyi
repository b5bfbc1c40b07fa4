from mltk.results.classifier import ClassifierEvaluationResults as ClassifierEvaluationResults
from mltk.results.evaluation import EvaluationResults as EvaluationResults
from mltk.results.profiling import ProfilingModelResults as ProfilingModelResults
from mltk.results.profiling_layer import MemoryPart as MemoryPart
from mltk.results.profiling_layer import ProfilingLayerResult as ProfilingLayerResult
from mltk.results.profiling_layer import RuntimeMemory as RuntimeMemory
from mltk.results.training import TrainingResults as TrainingResults
