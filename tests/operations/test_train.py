import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.core import MltkModelEvent, TfliteModel, TfliteModelParameters, load_mltk_model, train_model
from mltk.errors import DatasetError, MltkError, SpecificationError
from mltk.model.model import HandlerError
from mltk.utils.model_archive import ModelArchive


def digest(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_training_leaves_the_files_of_the_format(trained):
    log_dir = trained.cache / "models" / "tiny_v1"
    files = {p.relative_to(log_dir).as_posix() for p in log_dir.rglob("*") if p.is_file()}
    assert {
        "tiny_v1.h5",
        "tiny_v1.keras",
        "tiny_v1.h5.summary.txt",
        "tiny_v1.tflite",
        "tiny_v1.tflite.summary.txt",
        "tiny_v1.float32.tflite",
        "train/log.txt",
        "train/training-history.json",
        "train/training-history.png",
        "train/checkpoints/weights-001.weights.h5",
        "train/checkpoints/weights-003.weights.h5",
        "eval/h5/eval-results.json",
        "eval/tflite/eval-results.json",
        "eval/tflite/summary.txt",
        "eval/tflite/tiny_v1-confusion_matrix.png",
    } <= files
    assert not [f for f in files if ".tmp" in f]


def test_archive_has_the_members_of_the_format(trained):
    names = set(ModelArchive(trained.work / "tiny_v1.mltk.zip").names())
    assert {
        "tiny_v1.py",
        "tiny_v1.h5",
        "tiny_v1.keras",
        "tiny_v1.h5.summary.txt",
        "tiny_v1.tflite",
        "tiny_v1.tflite.summary.txt",
        "tiny_v1.float32.tflite",
        "train/log.txt",
        "train/training-history.json",
        "train/training-history.png",
        "train/provenance.json",
        "eval/h5/eval-results.json",
        "eval/tflite/eval-results.json",
        "eval/tflite/tiny_v1-roc.png",
    } <= names
    assert not [n for n in names if "checkpoints" in n or "weights/" in n]


def test_history_file_has_the_structure_of_the_format(trained):
    history = json.loads((trained.cache / "models/tiny_v1/train/training-history.json").read_text())
    assert history["epochs"] == [0, 1, 2]
    assert history["params"]["epochs"] == 3
    assert set(history["history"]) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["history"]["val_accuracy"][-1] > 0.8


def test_archive_records_seed_versions_and_fingerprint(trained):
    provenance = json.loads(ModelArchive(trained.work / "tiny_v1.mltk.zip").read("train/provenance.json"))
    assert provenance["seed"] == 42
    assert {"tensorflow", "keras", "numpy"} == set(provenance["libraries"])
    assert provenance["python"].count(".") == 2


def test_tflite_is_int8_and_carries_description_and_parameters(trained):
    model = TfliteModel.load_flatbuffer_file(trained.cache / "models/tiny_v1/tiny_v1.tflite")
    assert (model.inputs[0].dtype, model.outputs[0].dtype) == (np.int8, np.int8)
    assert model.description == "UCI digits, 8x8"
    parameters = TfliteModelParameters.load_from_tflite_model(model)
    assert list(parameters)[:5] == ["name", "version", "classes", "hash", "date"]
    assert parameters["version"] == 3
    assert parameters["classes"] == [str(n) for n in range(10)]
    assert (parameters["volume_db"], parameters["log_level"]) == (5.0, "info")


def test_float32_file_really_is_float32(trained):
    folder = trained.cache / "models/tiny_v1"
    model = TfliteModel.load_flatbuffer_file(folder / "tiny_v1.float32.tflite")
    assert {np.dtype(t.dtype).name for t in model.tensors} <= {"float32", "int32"}
    assert (folder / "tiny_v1.float32.tflite").stat().st_size > 2 * (folder / "tiny_v1.tflite").stat().st_size


@pytest.mark.slow
def test_two_runs_with_one_seed_give_equal_archives(write_spec, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = write_spec("equal_v1")
    contents = []
    for _ in range(2):
        command = [sys.executable, "-m", "mltk", "train", str(path), "--clean"]
        subprocess.run(command, check=True, capture_output=True)
        archive = ModelArchive(path.with_suffix(".mltk.zip"))
        contents.append({n: archive.read(n) for n in archive.names() if n != "train/log.txt"})
    assert len(contents[0]) > 20
    assert contents[0] == contents[1]


def test_another_seed_gives_another_model_and_is_recorded(trained):
    before = digest(trained.cache / "models/tiny_v1/train/checkpoints/weights-001.weights.h5")
    results = train_model("tiny_v1", epochs=1, quantize=False, seed=7)
    assert digest(trained.cache / "models/tiny_v1/train/checkpoints/weights-001.weights.h5") != before
    assert json.loads(ModelArchive(results.model_archive_path).read("train/provenance.json"))["seed"] == 7


CALLBACKS = """
my_model.epochs = 6
my_model.early_stopping = dict(monitor="val_loss", patience=4, restore_best_weights=True)
my_model.reduce_lr_on_plateau["monitor"] = "loss"
my_model.reduce_lr_on_plateau["patience"] = 1
my_model.reduce_lr_on_plateau["min_delta"] = 0.2
"""


@pytest.mark.parametrize("stop_after", [1, 4])
def test_resumed_run_ends_with_the_weights_of_one_that_was_not_interrupted(write_spec, tmp_path, stop_after):
    path = write_spec("resumed_v1", more=CALLBACKS)
    whole = train_model(str(path), quantize=False, clean=True)

    class Interrupted(Exception):
        pass

    model = load_mltk_model(path)

    def interrupt(epoch, logs):
        if epoch == stop_after:
            raise Interrupted

    import keras

    model.train_callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)]
    with pytest.raises(Interrupted):
        train_model(model, quantize=False, clean=True)

    model.train_callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: None)]
    resumed = train_model(model, quantize=False, resume_epoch=-1)
    assert resumed.history == whole.history
    assert resumed.epochs == whole.epochs
    for a, b in zip(whole.keras_model.get_weights(), resumed.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resuming_a_finished_run_changes_nothing(trained):
    results = train_model("tiny_v1", resume_epoch=-1, quantize=False)
    assert len(results.epochs) == 3
    weights = (trained.results.keras_model.get_weights(), results.keras_model.get_weights())
    for before, after in zip(*weights, strict=True):
        np.testing.assert_array_equal(before, after)


def test_resuming_with_other_callbacks_is_refused(trained):
    with (trained.work / "tiny_v1.py").open("a") as spec:
        spec.write("\nmy_model.early_stopping['patience'] = 3\nmy_model.epochs = 5\n")
    with pytest.raises(MltkError, match="callbacks have changed"):
        train_model("tiny_v1", resume_epoch=-1)


def test_training_may_start_from_the_best_weights(trained):
    results = train_model("tiny_v1", weights="best", epochs=1, quantize=False)
    assert results.history["val_accuracy"][0] > 0.85


def test_trial_run_has_three_epochs_and_files_of_its_own(trained):
    before = digest(trained.work / "tiny_v1.mltk.zip")
    results = train_model("tiny_v1-test", epochs=50)
    assert len(results.epochs) == 3
    assert Path(results.model_archive_path).name == "tiny_v1-test.mltk.zip"
    assert (trained.cache / "models/tiny_v1-test/tiny_v1.test.tflite").is_file()
    assert digest(trained.work / "tiny_v1.mltk.zip") == before


EVENTS = """
from mltk.core import MltkModelEvent
seen = []
for event in MltkModelEvent:
    my_model.add_event_handler(event, lambda mltk_model, logger, name=event.name, **kwargs: seen.append(name))
my_model.on_training_complete = lambda results: seen.append("on_training_complete")
my_model.tflite_converter["generate_unquantized"] = False
"""


def test_events_of_a_training_come_in_order(load_spec):
    model = load_spec("events_v1", more=EVENTS)
    train_model(model, epochs=1)
    seen = [n for n in model.specification_module.seen if n not in ("SUMMARIZE_MODEL", "SUMMARIZE_DATASET")]
    assert seen == [
        "AFTER_MODEL_LOAD",
        "TRAIN_STARTUP",
        "BEFORE_LOAD_DATASET",
        "AFTER_LOAD_DATASET",
        "BEFORE_BUILD_TRAIN_MODEL",
        "AFTER_BUILD_TRAIN_MODEL",
        "POPULATE_TRAIN_CALLBACKS",
        "BEFORE_TRAIN",
        "AFTER_TRAIN",
        "BEFORE_UNLOAD_DATASET",
        "AFTER_UNLOAD_DATASET",
        "BEFORE_SAVE_TRAIN_MODEL",
        "AFTER_SAVE_TRAIN_MODEL",
        "BEFORE_SAVE_TRAIN_RESULTS",
        "AFTER_SAVE_TRAIN_RESULTS",
        "BEFORE_SAVE_TRAIN_ARCHIVE",
        "AFTER_SAVE_TRAIN_ARCHIVE",
        "QUANTIZE_STARTUP",
        "BEFORE_LOAD_DATASET",
        "AFTER_LOAD_DATASET",
        "BEFORE_UNLOAD_DATASET",
        "AFTER_UNLOAD_DATASET",
        "BEFORE_QUANTIZE",
        "AFTER_QUANTIZE",
        "QUANTIZE_SHUTDOWN",
        "on_training_complete",
        "TRAIN_SHUTDOWN",
    ]


def test_failing_handler_fails_the_operation_but_everything_is_kept(load_spec, private_home):
    model = load_spec("handler_v1")

    def failing(**kwargs):
        raise RuntimeError("upload failed")

    model.add_event_handler(MltkModelEvent.AFTER_SAVE_TRAIN_RESULTS, failing)
    with pytest.raises(HandlerError, match="upload failed") as error:
        train_model(model, epochs=1)
    assert error.value.results.model_archive_path
    assert "handler_v1.tflite" in ModelArchive(private_home / "handler_v1.mltk.zip").names()


def test_shutdown_comes_and_data_is_unloaded_when_the_training_fails(load_spec):
    model = load_spec("failing_v1")
    seen = []
    model.add_event_handler(MltkModelEvent.TRAIN_SHUTDOWN, lambda results, **kwargs: seen.append(results))
    model.add_event_handler(MltkModelEvent.AFTER_UNLOAD_DATASET, lambda **kwargs: seen.append("unloaded"))

    def fail(model):
        raise RuntimeError("no memory")

    model.build_model_function = fail
    with pytest.raises(RuntimeError, match="no memory"):
        train_model(model)
    assert seen == ["unloaded", None]
    from mltk.sources.loading import get_active_model

    assert get_active_model() is None


def test_handler_may_replace_the_model_to_save(load_spec):
    import keras

    model = load_spec("replaced_v1")
    model.on_save_keras_model = lambda mltk_model, keras_model, logger: keras.Sequential(
        [keras.Input((8, 8, 1)), keras_model.layers[0]]
    )
    assert len(train_model(model, epochs=1, quantize=False).keras_model.layers) == 1
    model.on_save_keras_model = lambda **kwargs: None
    with pytest.raises(SpecificationError, match="on_save_keras_model must return the Keras model"):
        train_model(model, epochs=1, quantize=False)


WITH_OUTPUTS = """
def with_outputs(n):
    network = tf.keras.Sequential(
        [tf.keras.layers.InputLayer((8, 8, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(n)]
    )
    network.compile(loss="mse")
    return network
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("del my_model._attributes.stored['train.build_model_function']", "has no build_model_function"),
        (
            "del my_model._attributes.stored['train.build_model_function']\n"
            "from mltk.plugins import hookimpl\n"
            "@hookimpl(wrapper=True)\ndef mltk_build_model():\n    return (yield)",
            "has no build_model_function",
        ),
        (
            "my_model.build_model_function = lambda m: None",
            "must return a Keras model, not NoneType. Is a `return` missing",
        ),
        (
            "my_model.build_model_function = lambda m: tf.keras.Sequential([tf.keras.layers.Dense(10)])",
            "not compiled",
        ),
        ("my_model.classes = ['a', 'b', 'c']", "one-hot labels of 10 classes, but the network has 3 outputs"),
        ("my_model.build_model_function = lambda m: with_outputs(5)", "5 outputs but 10 classes"),
        ("my_model.early_stopping['patients'] = 5", "'patients'.*Did you mean 'patience'"),
        ("my_model.checkpoint['save_freq'] = 'never'", "checkpoint is not right"),
        ("my_model.train_callbacks = ['TerminateOnNaN']", "is not a keras.callbacks.Callback"),
        ("my_model.train_kwargs = {'workers': 4}", "'workers', which keras.Model.fit does not take"),
        ("my_model.epochs = -1", "needs EarlyStopping"),
        ("my_model.dataset = None", "gave no training data"),
        (
            "my_model.dataset = lambda **kwargs: (np.zeros((9, 8, 8, 1)), np.zeros((8, 10)))",
            "x has 9, y has 8",
        ),
        ("my_model.dataset = lambda **kwargs: (np.zeros((0, 8, 8, 1)), np.zeros((0, 10)))", "no sample"),
        (
            "my_model.dataset = lambda **kwargs: (np.zeros((9, 7, 8, 1)), np.zeros((9, 10)))",
            r"have the shape \(9, 7, 8, 1\), but .* takes \(None, 8, 8, 1\)",
        ),
        ("my_model.tflite_converter['optimisations'] = []", "'optimisations'.*Did you mean 'optimizations'"),
        ("my_model.tflite_converter['supported_ops'] = ['INT8']", "It may be: TFLITE_BUILTINS"),
        ("my_model.tflite_converter['inference_input_type'] = 'int4x'", "It may be: float32, int8"),
        ("my_model.tflite_converter['representative_dataset'] = 'all'", "it may be 'generate'"),
    ],
)
def test_wrong_specification_is_one_clear_line_and_leaves_no_archive(load_spec, private_home, more, message):
    model = load_spec("wrong_v1", more=WITH_OUTPUTS + more + "\n")
    with pytest.raises((SpecificationError, DatasetError), match=message) as error:
        train_model(model, epochs=None if "epochs" in more else 1)
    assert "\n" not in str(error.value)
    if "representative" not in more:
        assert not (private_home / "wrong_v1.mltk.zip").exists()


@pytest.mark.parametrize("path", ["x.tflite", "x.h5", "x.keras"])
def test_trained_model_cannot_be_trained(private_home, path):
    Path(path).touch()
    with pytest.raises(ValueError, match="cannot be trained"):
        train_model(path)


def test_old_weights_with_options_none_are_accepted(load_spec):
    model = load_spec("options_v1")
    model.checkpoint["options"] = None
    assert train_model(model, epochs=1, quantize=False).epochs == [0]


def test_names_of_keras_2_for_shapes_and_the_learning_rate_are_there(load_spec):
    import keras
    import tensorflow as tf

    from mltk.operations.training.build import build_keras_model

    keras_model = build_keras_model(load_spec())
    assert (keras_model.layers[0].input_shape, keras_model.layers[0].output_shape) == (
        (None, 8, 8, 1),
        (None, 6, 6, 8),
    )

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.output_shape = "mine"

    assert Own().output_shape == "mine"
    optimizer = keras_model.optimizer
    names = [variable.path for variable in optimizer.variables]
    tf.keras.backend.set_value(optimizer.lr, 0.25)
    assert float(optimizer.learning_rate) == tf.keras.backend.get_value(optimizer.lr) == 0.25
    assert [variable.path for variable in optimizer.variables] == names


def test_callback_given_by_the_user_takes_the_place_of_the_property(load_spec):
    import keras

    model = load_spec("own_callback_v1")
    model.early_stopping = {"monitor": "val_loss", "patience": 1}
    model.train_callbacks = [keras.callbacks.EarlyStopping(monitor="val_loss", patience=9)]
    callbacks = []
    model.add_event_handler(
        MltkModelEvent.POPULATE_TRAIN_CALLBACKS,
        lambda keras_callbacks, **kwargs: callbacks.extend(keras_callbacks),
    )
    train_model(model, epochs=1, quantize=False)
    assert [c.patience for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)] == [9]


def test_tf_data_and_generators_of_batches_train_too(load_spec):
    import tensorflow as tf

    model = load_spec("tfdata_v1")
    arrays = model.dataset(subset="training")

    def load(subset, **kwargs):
        train = tf.data.Dataset.from_tensor_slices(arrays[:2]).batch(64)
        return (
            (train, None, tf.data.Dataset.from_tensor_slices(arrays[2]).batch(64))
            if subset == "training"
            else train
        )

    model.dataset = load
    results = train_model(model, epochs=2)
    assert results.history["val_accuracy"][-1] > 0.5


def test_validation_split_takes_the_last_fraction(load_spec):
    model = load_spec("split_v1")
    x, y, _ = model.dataset(subset="training")
    model.dataset = lambda **kwargs: (x, y)
    model.validation_split = 0.25
    results = train_model(model, epochs=1, quantize=False)
    assert results.params["steps"] == -(-int(len(x) * 0.75) // 64)
    assert "val_accuracy" in results.history


def test_memory_of_a_training_is_released(load_spec):
    """A process that trains several models must not keep the graphs of all of them."""
    import gc

    def count_graphs():
        train_model(load_spec("released_v1"), epochs=1)
        gc.collect()
        return sum(type(o).__name__ == "FuncGraph" for o in gc.get_objects())

    # The tracebacks of earlier tests may hold some for a while.
    first = count_graphs()
    assert count_graphs() <= first


def test_old_archive_stays_until_the_new_one_is_complete(trained, monkeypatch):
    archive = trained.work / "tiny_v1.mltk.zip"
    before = digest(archive)
    seen = []
    model = load_mltk_model("tiny_v1")
    model.on_training_complete = lambda results: seen.append((digest(archive), model.archive.names()))

    def fail(**kwargs):
        raise RuntimeError("no samples")
        yield

    model.tflite_converter["representative_dataset"] = fail
    with pytest.raises(RuntimeError, match="no samples") as error:
        train_model(model, epochs=1)
    assert digest(archive) == before
    assert f"The archive is that of the earlier training run: {archive}." in error.value.__notes__
    model.tflite_converter["representative_dataset"] = "generate"
    results = train_model(model, epochs=1, evaluate=True)
    ((during, names),) = seen
    assert during == before
    assert "tiny_v1.tflite" in names
    assert results.model_archive_path == str(archive)
    assert digest(archive) != before
    assert {"tiny_v1.tflite", "eval/tflite/eval-results.json"} <= set(ModelArchive(archive).names())
    assert not (Path(model.log_dir) / "new").exists()


def test_quantizing_what_was_trained_gives_the_same_files(load_spec, private_home, monkeypatch):
    from mltk.core import quantize_model

    model = load_spec("same_v1")
    # Keras numbers tensors in a process: the names must not depend on that.
    model.dataset("training")
    train_model(model, epochs=1)
    before = {
        name: content
        for name in ("same_v1.tflite", "same_v1.float32.tflite")
        for content in [ModelArchive(private_home / "same_v1.mltk.zip").read(name)]
    }
    quantize_model("same_v1")
    archive = ModelArchive(private_home / "same_v1.mltk.zip")
    assert {name: archive.read(name) for name in before} == before
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    quantize_model("same_v1")
    assert archive.read("same_v1.tflite") != before["same_v1.tflite"]
