import pytest

from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.errors import SpecificationError


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


@pytest.fixture
def model() -> MyModel:
    return MyModel("my_model_v1.py")


def test_name_is_the_stem_of_the_script(model):
    assert model.name == "my_model_v1"


def test_name_of_a_model_made_in_a_script_is_that_scripts(tmp_path):
    assert MyModel().name == "test_attributes"


@pytest.mark.parametrize("name", ["my-model", "my model", "modèle", "a.b", ""])
def test_name_with_other_characters_is_refused(name):
    with pytest.raises(SpecificationError, match="only letters, digits and '_'"):
        MyModel(f"/somewhere/{name}.py" if name else "/somewhere/..py")


@pytest.mark.parametrize(
    "attribute", ["name", "n_classes", "model_specification_path", "h5_log_dir_path", "archive_path"]
)
def test_read_only_property_cannot_be_assigned(model, attribute):
    with pytest.raises(AttributeError):
        setattr(model, attribute, "x")


def test_unknown_property_is_refused_with_near_matches(model):
    with pytest.raises(AttributeError, match="Did you mean 'epochs'"):
        model.epoch = 3


def test_property_of_a_mixin_that_is_not_inherited_names_the_mixin():
    class Bare(MltkModel):
        pass

    with pytest.raises(AttributeError, match="belongs to TrainMixin, which Bare does not inherit"):
        Bare("bare.py").epochs = 3


def test_private_names_and_class_attributes_are_free(model):
    model._anything = 1

    class Extended(MyModel):
        extra = None

    extended = Extended("extended.py")
    extended.extra = 5
    assert extended.extra == 5


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("epochs", "10"),
        ("batch_size", 1.5),
        ("description", 3),
        ("version", "1"),
        ("classes", "abc"),
        ("metrics", "accuracy"),
    ],
)
def test_value_of_the_wrong_type_is_refused_at_assignment(model, attribute, value):
    with pytest.raises(AttributeError, match=f"my_model.{attribute} must be"):
        setattr(model, attribute, value)


@pytest.mark.parametrize(
    ("attribute", "value"), [("epochs", 0), ("epochs", -2), ("batch_size", 0), ("seed", -1), ("seed", 2**32)]
)
def test_value_out_of_range_is_refused_at_assignment(model, attribute, value):
    with pytest.raises(SpecificationError, match=attribute):
        setattr(model, attribute, value)


def test_callback_properties_of_a_fresh_model_are_empty_and_editable(model):
    for name in ("reduce_lr_on_plateau", "early_stopping", "tensorboard", "lr_schedule"):
        assert not getattr(model, name)
    model.reduce_lr_on_plateau["monitor"] = "accuracy"
    assert model.reduce_lr_on_plateau == {"monitor": "accuracy"}


def test_editing_a_default_changes_only_this_model(model):
    model.checkpoint["monitor"] = "val_loss"
    model.tflite_converter["optimizations"].append("X")
    other = MyModel("other.py")
    assert other.checkpoint["monitor"] == "val_accuracy"
    assert other.tflite_converter["optimizations"] == ["DEFAULT"]


def test_callable_of_a_lazy_property_is_called_on_each_read_and_checked(model):
    values = iter([5, 6, "seven"])
    model.epochs = lambda: next(values)
    assert (model.epochs, model.epochs) == (5, 6)
    with pytest.raises(SpecificationError, match="epochs must be int"):
        _ = model.epochs


def test_optimizer_class_gives_a_fresh_instance_on_each_read(model):
    class Optimizer:
        pass

    model.optimizer = Optimizer
    assert isinstance(model.optimizer, Optimizer)
    assert model.optimizer is not model.optimizer


def test_none_is_accepted_and_switches_a_callback_off(model):
    model.lr_schedule = None
    model.checkpoint = None
    assert not model.lr_schedule
    assert not model.checkpoint


def test_function_as_schedule_becomes_the_callbacks_argument(model):
    def schedule(epoch, rate):
        return rate

    model.lr_schedule = schedule
    assert model.lr_schedule == {"schedule": schedule, "verbose": 0}


def test_unset_property_says_how_to_set_it(model):
    with pytest.raises(SpecificationError, match=r"no value for 'classes'.*my_model\.classes = "):
        _ = model.n_classes


def test_classes_are_checked(model):
    with pytest.raises(SpecificationError, match="'up' more than once"):
        model.classes = ["up", "down", "up"]
    with pytest.raises(SpecificationError, match="must be names"):
        model.classes = ["up", 3]
    model.classes = ["up", "down"]
    assert model.n_classes == 2


def test_attributes_are_reachable_by_dotted_key(model):
    model.epochs = 7
    assert model.get_attribute("train.epochs") == 7
    assert model.has_attribute("dataset.classes")
    assert not model.has_attribute("audio.datagen")
    with pytest.raises(KeyError, match=r"Did you mean 'train\.epochs'"):
        model.get_attribute("train.epoch")


def test_parameters_are_typed_and_checked_at_assignment(model):
    model.model_parameters["volume_db"] = 5.0
    model.set_model_parameter("threshold", 3, dtype="int32")
    with pytest.raises(SpecificationError, match="bad"):
        model.model_parameters["bad"] = {1, 2}
    model.model_parameters = {"only": 1}
    assert dict(model.model_parameters) == {"only": 1}


def test_summary_has_name_version_classes_shape_and_parameters(model):
    model.classes = ["up", "down"]
    model.input_shape = (8, 8, 1)
    model.model_parameters["volume_db"] = 5.0
    summary = model.summary()
    for text in (
        "Name: my_model_v1",
        "Version: 1",
        "Classes: up, down",
        "Input shape: 8x8x1",
        "volume_db: 5.0",
    ):
        assert text in summary


def test_test_mode_has_files_of_its_own(model):
    assert model.tflite_log_dir_path.endswith("models/my_model_v1/my_model_v1.tflite")
    model.enable_test_mode()
    assert model.log_dir.endswith("models/my_model_v1-test")
    assert model.tflite_log_dir_path.endswith("my_model_v1.test.tflite")
    assert model.unquantized_tflite_log_dir_path.endswith("my_model_v1.float32.test.tflite")
    assert model.archive_path.endswith("my_model_v1-test.mltk.zip")


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [
        ("val_accuracy", "auto", "weights-002-0.9000"),
        ("val_loss", "auto", "weights-001-0.1000"),
        ("score", "max", "weights-002-0.9000"),
    ],
)
def test_best_weights_follow_the_direction_of_what_is_watched(model, monitor, mode, best, tmp_path):
    from pathlib import Path

    model.checkpoint.update(monitor=monitor, mode=mode)
    for name in (
        "weights-001-0.1000.weights.h5",
        "weights-002-0.9000.weights.h5",
        "weights-003-0.5000.h5",
        "notes.txt",
    ):
        (Path(model.weights_dir) / name).touch()
    assert Path(model.get_weights_path("best")).name == f"{best}.weights.h5"
    assert Path(model.get_weights_path("weights-003-0.5000")).name == "weights-003-0.5000.h5"
