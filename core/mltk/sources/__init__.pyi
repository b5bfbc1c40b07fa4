from mltk.sources.loading import load_mltk_model as load_mltk_model
from mltk.sources.search import find_model_specification_file as find_model_specification_file
from mltk.sources.search import model_not_found as model_not_found
from mltk.sources.search import split_test_suffix as split_test_suffix
from mltk.sources.search import user_settings as user_settings
from mltk.sources.source import ModelSource as ModelSource
from mltk.sources.source import is_path as is_path
