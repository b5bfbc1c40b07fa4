import functools
import types

import numpy as np
import pytest

from mltk.core import DatasetMixin, MltkDataset, MltkModel
from mltk.errors import SpecificationError
from mltk.model.mixins.dataset import compute_class_weights, summarize_class_counts


class MyModel(MltkModel, DatasetMixin):
    pass


@pytest.fixture
def model() -> MyModel:
    return MyModel("data_v1.py")


X, Y, V = np.zeros((4, 2)), np.ones(4), (np.zeros((2, 2)), np.ones(2))


@pytest.mark.parametrize(
    ("result", "expected"),
    [(X, (X, None, None)), ((X, Y), (X, Y, None)), ((X, Y, V), (X, Y, V)), ((X, None, V), (X, None, V))],
    ids=["x", "xy", "xyv", "xv"],
)
def test_function_may_return_x_y_and_validation_data(model, result, expected):
    model.dataset = lambda **kwargs: result
    model.load_dataset("training")
    assert all(a is b for a, b in zip((model.x, model.y, model.validation_data), expected, strict=True))
    assert model.loaded_subset == "training"


def test_function_gets_subset_test_model_and_options(model):
    seen = {}

    def load(a, **kwargs):
        seen.update(kwargs, a=a)
        kwargs["mltk_model"].x = X

    model.dataset = functools.partial(load, 5)
    model.load_dataset("evaluation", test=True, classes=["a"])
    assert seen == {"a": 5, "subset": "evaluation", "test": True, "mltk_model": model, "classes": ["a"]}
    assert model.x is X


def test_object_module_and_dataset_class_are_loaded_and_unloaded(model):
    class Mine(MltkDataset):
        unloaded = 0

        def load_dataset(self, subset, test=False, **kwargs):
            kwargs["mltk_model"].class_counts[subset] = {"a": 3, "b": 1}
            return X, Y

        def unload_dataset(self):
            self.unloaded += 1

        def summarize_dataset(self):
            return MltkDataset.summarize_class_counts({"training": {"a": 3}})

    model.dataset = data = Mine()
    model.load_dataset("training")
    assert model.x is X
    assert "a" in model.summarize_dataset()
    model.unload_dataset()
    assert (data.unloaded, model.x, model.loaded_subset) == (1, None, None)

    module = types.ModuleType("my_data")
    module.load_dataset = lambda subset, test, **kwargs: X
    model.dataset = module
    model.load_dataset("validation")
    assert model.x is X


def test_each_load_forgets_the_one_before(model):
    model.dataset = lambda subset, **kwargs: (X, Y, V) if subset == "training" else X
    model.load_dataset("training")
    model.load_dataset("evaluation")
    assert model.y is None
    assert model.validation_data is None


def test_class_body_may_override_load_dataset():
    class Own(MltkModel, DatasetMixin):
        def load_dataset(self, subset, **kwargs):
            self.x = X

    own = Own("own.py")
    own.load_dataset("training")
    assert own.x is X


@pytest.mark.parametrize(
    "dataset", ["a/folder", 5, types.ModuleType("empty")], ids=["text", "number", "module"]
)
def test_dataset_that_cannot_be_loaded_says_what_can(model, dataset):
    model.dataset = dataset
    with pytest.raises(
        SpecificationError, match="give a function, or a module or object with a function load_dataset"
    ):
        model.load_dataset("training")


@pytest.mark.parametrize("result", ["a/folder", (1, 2, 3, 4), ()])
def test_loader_that_returns_something_else_is_refused(model, result):
    model.dataset = lambda **kwargs: result
    with pytest.raises(SpecificationError, match="return x, "):
        model.load_dataset("training")


def test_unknown_subset_is_refused(model):
    with pytest.raises(SpecificationError, match="no subset 'test'"):
        model.load_dataset("test")


def test_balanced_class_weights_are_inverse_to_the_counts(model):
    model.classes = ["a", "b"]
    model.class_weights = "balanced"
    model.class_counts = {"training": {"b": 10, "a": 30}}
    assert compute_class_weights(model) == {0: 40 / 60, 1: 40 / 20}
    model.class_counts = {}
    assert compute_class_weights(model, np.array([0, 0, 0, 1])) == {0: 4 / 6, 1: 2.0}
    assert compute_class_weights(model, np.eye(2)[[0, 0, 0, 1]]) == {0: 4 / 6, 1: 2.0}


def test_class_weights_by_list_index_and_name(model):
    model.classes = ["a", "b"]
    for value in ([1, 2], {0: 1, 1: 2}, {"b": 2, "a": 1}):
        model.class_weights = value
        assert compute_class_weights(model) == {0: 1.0, 1: 2.0}
    for value in (None, "", "none"):
        model.class_weights = value
        assert compute_class_weights(model) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1}, "no weight for the class 'b'"),
        ({"a": 1, "bb": 2}, "'bb', which is not a class"),
        ("sqrt", "only text"),
        ("balanced", "number of samples per class"),
    ],
)
def test_wrong_class_weights_stop_the_training(model, value, message):
    model.classes = ["a", "b"]
    model.class_weights = value
    with pytest.raises(SpecificationError, match=message):
        compute_class_weights(model)


def test_table_of_class_counts_has_totals():
    table = summarize_class_counts(
        {"training": {"yes": 10, "no": 5}, "validation": {"yes": 2}, "evaluation": {}}
    )
    assert table.splitlines()[1].split() == ["yes", "10", "2"]
    assert table.splitlines()[-1].split() == ["total", "15", "2"]
    assert "evaluation" not in table
    assert summarize_class_counts({"yes": 3}).splitlines()[1].split() == ["yes", "3"]


def test_arrays_for_evaluation_are_recognized():
    training, validation, test = (np.random.default_rng(i).normal(size=(40, 3)) for i in range(3))

    def make_loader(evaluated):
        def load(subset, **options):
            if subset != "evaluation":
                return training, np.zeros(40), (validation, np.zeros(40))
            return evaluated, np.zeros(40)

        return load

    for evaluated, part in ((training, "training"), (validation, "validation"), (test, "test")):
        model = MyModel("data_v1.py")
        model.dataset = make_loader(evaluated)
        model.load_dataset("evaluation")
        assert model.evaluation_part is None, "nothing was loaded to compare with"
        model.load_dataset("training")
        assert model.evaluation_part is None
        model.load_dataset("evaluation")
        assert model.evaluation_part == part
