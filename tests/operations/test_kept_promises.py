"""What users lose, or are told wrongly, when an operation is careless."""

from pathlib import Path

import pytest

from mltk.core import (
    TfliteModel,
    evaluate_model,
    load_mltk_model,
    quantize_model,
    summarize_model,
    train_model,
)
from mltk.errors import FileFormatError, SpecificationError
from mltk.plugins import Parameter, hookimpl
from mltk.utils.model_archive import ModelArchive


def test_clean_removes_only_what_mltk_wrote(trained):
    spec = trained.work / "tiny_v1.py"
    spec.write_text(spec.read_text() + "\nmy_model.log_dir = '.'\n")
    notes = trained.work / "notes.txt"
    notes.write_text("mine")
    old = trained.work / "train" / "old.txt"
    old.parent.mkdir()
    old.write_text("")
    train_model("tiny_v1", epochs=1, clean=True, quantize=False)
    assert notes.read_text() == "mine"
    assert spec.is_file()
    assert not old.exists()
    assert "notes.txt" not in ModelArchive(trained.work / "tiny_v1.mltk.zip").names()


def test_old_weights_stay_until_the_first_new_epoch_is_whole(trained):
    model = load_mltk_model("tiny_v1")
    folder = Path(model.weights_dir)
    old = folder / "weights-009-0.9999.weights.h5"
    old.write_bytes(b"precious")
    load = model.dataset

    def fail(**kwargs):
        raise OSError("no data")

    model.dataset = fail
    with pytest.raises(OSError, match="no data"):
        train_model(model)
    assert old.exists()
    assert Path(model.checkpoints_dir, "weights-003.weights.h5").exists()
    model.dataset = load
    train_model(model, epochs=1, clean=None, quantize=False)
    assert old.exists()
    train_model(model, epochs=1, quantize=False)
    assert not old.exists()
    assert len(list(folder.glob("*.h5"))) == 1
    assert not Path(model.checkpoints_dir, "weights-003.weights.h5").exists()


def test_states_of_an_older_run_are_not_resumed(trained):
    model = load_mltk_model("tiny_v1")
    import keras

    class Stopped(Exception):
        pass

    def stop(batch, logs):
        raise Stopped

    model.train_callbacks = [keras.callbacks.LambdaCallback(on_train_batch_begin=stop)]
    with pytest.raises(Stopped):
        train_model(model, quantize=False, seed=7)
    model.train_callbacks = [keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None)]
    assert len(train_model(model, resume_epoch=-1, epochs=2, quantize=False, seed=7).epochs) == 2


@pytest.mark.parametrize("metrics", [[], ["mae"]])
def test_model_without_accuracy_trains_with_default_settings(load_spec, metrics):
    model = load_spec("metrics_v1")
    model.checkpoint = None
    model.checkpoint = dict(
        load_spec(
            "other_metrics_v1",
            "from mltk.core import MltkModel, TrainMixin\nclass M(MltkModel, TrainMixin): pass\nm = M()\n",
        ).checkpoint
    )
    model.metrics = metrics
    assert train_model(model, epochs=1, quantize=False).epochs == [0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("my_model.early_stopping['monitor'] = 'val_acuracy'", "Did you mean 'val_accuracy'"),
        (
            "my_model.reduce_lr_on_plateau['monitor'] = 'acc'",
            "watches 'acc', which the training does not report",
        ),
        ("my_model.lr_schedule = lambda: 3", r"f\(epoch, lr\)"),
        ("my_model.checkpoint['save_freq'] = 2", "save_freq='epoch'"),
        ("my_model.class_weights = ['a'] * 10", "a weight is a number"),
        ("my_model.class_weights = [1, 2]", "2 weights for 10 classes"),
        ("my_model.class_weights = {17: 1}", "index that is not 0 to 9"),
        ("my_model.batch_size = lambda: 0", "batch_size must be at least 1"),
        ("my_model.tflite_converter['representative_dataset_max_samples'] = 'a'", "at least 1"),
        ("my_model.tflite_converter['representative_dataset'] = None", "Set it to 'generate'"),
    ],
)
def test_wrong_settings_are_refused(load_spec, more, message):
    model = load_spec("refused_v1", more=more + "\n")
    with pytest.raises(SpecificationError, match=message):
        train_model(model, epochs=2)


def test_none_unsets_a_property():
    from mltk.core import DatasetMixin, MltkModel, TrainMixin

    class MyModel(MltkModel, TrainMixin, DatasetMixin):
        pass

    model = MyModel("none_v1.py")
    for name in (
        "epochs",
        "batch_size",
        "metrics",
        "train_callbacks",
        "train_kwargs",
        "seed",
        "version",
        "class_counts",
    ):
        default = getattr(MyModel("other_v1.py"), name)
        setattr(model, name, None)
        assert getattr(model, name) == default


def test_assigned_converter_settings_replace_the_defaults(trained):
    model = load_mltk_model("tiny_v1")
    model.tflite_converter = {"optimizations": ["DEFAULT"]}
    result = quantize_model(model, output="tflite_model")
    assert result.inputs[0].dtype == "float32"


def test_callbacks_in_train_kwargs_are_added_to_the_others(load_spec):
    import keras

    model = load_spec("kwargs_v1")
    seen = []
    model.train_kwargs = {
        "callbacks": [keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(e))]
    }
    results = train_model(model, epochs=1, quantize=False)
    assert seen == results.epochs == [0]


def test_subclassed_model_trains(load_spec):
    import keras

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.dense(self.flatten(x))

    def build(model):
        network = Net()
        network.compile(loss=model.loss, optimizer="adam", metrics=["accuracy"])
        network(keras.ops.zeros((1, 8, 8, 1)))
        return network

    model = load_spec("subclassed_v1")
    model.build_model_function = build
    assert train_model(model, epochs=1, quantize=False).epochs == [0]


def test_own_lambda_layer_is_loaded_only_when_trusted(write_spec, cli):
    write_spec(
        "lambda_v1",
        more="""
        inner = build
        def with_lambda(model):
            network = inner(model)
            network.add(tf.keras.layers.Lambda(lambda x: x * 1.0))
            network.compile(loss=model.loss, optimizer="adam", metrics=["accuracy"])
            return network
        my_model.build_model_function = with_lambda
    """.replace("        ", "", 1).replace("\n        ", "\n"),
    )
    assert cli.invoke(["train", "lambda_v1", "--epochs", "1"]).exit_code == 0
    with pytest.raises(FileFormatError, match="--trust"):
        evaluate_model("lambda_v1")
    assert evaluate_model("lambda_v1", trust=True).n_samples == 599


def test_throw_away_build_leaves_the_model_as_it_was(write_spec):
    write_spec()
    model = load_mltk_model("tiny_v1")
    summarize_model(model, tflite=True, build=True)
    assert not model.test_mode_enabled
    assert not model.log_dir.endswith("-test")


def test_bare_file_does_not_overwrite_the_results_of_a_model(trained, tmp_path):
    import numpy as np

    x, y = load_mltk_model("tiny_v1").dataset(subset="evaluation")
    np.savez(tmp_path / "few.npz", x=x[:20], y=y[:20])
    kept = trained.cache / "models/tiny_v1/eval/tflite/eval-results.json"
    before = kept.read_text()
    evaluate_model(str(trained.cache / "models/tiny_v1/tiny_v1.tflite"), data=tmp_path / "few.npz")
    assert kept.read_text() == before


def test_parameters_of_a_plugin_are_asked_for_anew_but_the_specifications_stay(
    load_spec, mltk_plugin_manager
):
    class Offering:
        value = 1

        @hookimpl
        def mltk_model_parameters(self, mltk_model):
            return {"offered": Parameter(self.value), "volume_db": Parameter(-99)}

    plugin = Offering()
    mltk_plugin_manager.register(plugin, name="offering")
    model = load_spec("offered_v1")
    model.summary()
    plugin.value = 2
    model.populate_model_parameters()
    assert (model.model_parameters["offered"], model.model_parameters["volume_db"]) == (2, 5.0)


def test_training_without_an_evaluation_mixin_succeeds(write_spec, cli):
    path = write_spec("bare_training_v1")
    path.write_text(path.read_text().replace("DatasetMixin, EvaluateClassifierMixin)", "DatasetMixin)"))
    result = cli.invoke(["train", "bare_training_v1", "--epochs", "1"])
    assert result.exit_code == 0, result.stderr


def test_error_in_a_function_of_the_specification_is_one_line_with_its_place(write_spec, cli):
    write_spec(
        "raising_v1", more="def broken(**kwargs):\n    raise KeyError('samples')\nmy_model.dataset = broken\n"
    )
    result = cli.invoke(["train", "raising_v1"])
    assert result.exit_code == 1
    assert "raising_v1.py, line" in result.stderr
    assert "KeyError: 'samples'" in result.stderr
    assert "Traceback" not in result.stderr


def test_log_of_the_evaluation_is_kept(trained):
    assert (trained.cache / "models/tiny_v1/eval/log.txt").is_file()


def test_update_keeps_summary_and_float32_file_in_step(trained):
    from mltk.core import TfliteModelParameters, update_model_parameters

    update_model_parameters("tiny_v1", params={"extra": 7})
    archive = ModelArchive(trained.work / "tiny_v1.mltk.zip")
    assert "extra: 7" in archive.read("tiny_v1.tflite.summary.txt").decode()
    float32 = TfliteModel(archive.read("tiny_v1.float32.tflite"))
    assert TfliteModelParameters.load_from_tflite_model(float32)["extra"] == 7


def test_hash_of_a_network_is_that_of_its_weights_and_not_of_its_parameters(trained):
    model = TfliteModel.load_flatbuffer_file(load_mltk_model("tiny_v1").tflite_log_dir_path)
    before = model.network_hash()
    model.description = "other"
    model.regenerate_flatbuffer()
    assert model.network_hash() == before
    buffer = max(model.flatbuffer_model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    buffer.data = buffer.data.copy()
    buffer.data[0] ^= 1
    assert model.network_hash() != before


def test_parameter_that_is_not_offered_any_more_is_removed(load_spec):
    offers = [{"computed": Parameter(1.5, "float")}, {}]

    class Plugin:
        mltk_api_version = 1

        @hookimpl
        def mltk_model_parameters(self):
            return offers.pop(0)

    from mltk.plugins import get_plugin_manager

    model = load_spec("offered_v1")
    with get_plugin_manager().specification_registered(Plugin(), "offered_v1"):
        model.populate_model_parameters()
        assert model.model_parameters["computed"] == 1.5
        model.populate_model_parameters()
    assert "computed" not in model.model_parameters


def test_summary_does_not_tell_the_folders_around_the_data(load_spec):
    model = load_spec("private_v1", more="my_model.dataset = '/home/somebody/secret/flowers'\n")
    assert "Dataset: flowers" in model.summary()
    assert "somebody" not in model.summary()
