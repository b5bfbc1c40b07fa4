"""A `tf.data.Dataset` as training, validation, calibration and evaluation data."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mltk.core import evaluate_model, quantize_model, train_model
from mltk.data import tf_data
from mltk.data.samples import iterate_batches
from mltk.errors import DatasetError, EvaluationError, SpecificationError

X = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
Y = np.eye(10, dtype=np.float32)[np.arange(20) % 10]

LOADER = """
def load(subset, test=False, **kwargs):
    images, labels = load_digits(return_X_y=True)
    x = (images[:360] / 16).astype("float32").reshape(-1, 8, 8, 1)
    y = np.eye(10, dtype="float32")[labels[:360]]
    held_out = np.arange(len(x)) % 3 == 0
    if subset == "training":
        return make(x[~held_out], y[~held_out]).shuffle(240, seed=5), None, make(x[held_out], y[held_out])
    return make(x[held_out], y[held_out])


my_model.dataset = load
"""

WITHOUT_SHAPES = """
def make(x, y):
    def same(image):
        return image

    images = tf.data.Dataset.from_tensor_slices(x).map(lambda v: tf.numpy_function(same, [v], tf.float32))
    labels = tf.data.Dataset.from_tensor_slices(y).map(lambda v: tf.numpy_function(same, [v], tf.float32))
    return tf.data.Dataset.zip((images, labels)).batch(30)
"""

SAMPLES = """
def make(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y))
"""


def model(**attributes):
    stored = {"dataset.input_shape": (8, 8, 1)}
    settings = {"name": "m", "batch_size": 6, "input_shape": (8, 8, 1), **attributes}
    return SimpleNamespace(attributes=SimpleNamespace(stored=stored), **settings)


def network():
    layers = [tf.keras.layers.InputLayer((8, 8, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)]
    return tf.keras.Sequential(layers)


def batches(x=X, y=Y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(6)


@pytest.mark.slow
def test_single_samples_train_are_quantized_evaluated_and_resumed_like_arrays(load_spec):
    model = load_spec(more=SAMPLES + LOADER)
    results = train_model(model, epochs=2)
    assert evaluate_model(model, tflite=True, update_archive=False).n_samples == 120
    resumed = load_spec(more=SAMPLES + LOADER)
    train_model(resumed, epochs=1, clean=True, create_archive=False, quantize=False)
    again = train_model(resumed, epochs=2, resume_epoch=-1, create_archive=False, quantize=False)
    for first, second in zip(results.keras_model.weights, again.keras_model.weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_batches_of_unknown_shape_train(load_spec):
    model = load_spec(more=WITHOUT_SHAPES + LOADER)
    results = train_model(model, epochs=1, create_archive=False, quantize=False)
    assert results.params["steps"] == 8


def test_a_representative_function_finds_the_data_loaded(load_spec):
    model = load_spec(more=SAMPLES + LOADER)
    keras_model = model.build_model_function(model)

    def representative():
        for x, _ in model.x.unbatch().batch(1).take(5):
            yield [x]

    model.tflite_converter["representative_dataset"] = representative
    quantized = quantize_model(model, keras_model=keras_model, output="tflite_model")
    assert quantized.inputs[0].dtype == np.int8
    assert model.x is None


def test_samples_are_batched_and_batches_left_as_they_are():
    batched = batches()
    assert tf_data.as_batches(batched, model()) is batched
    samples = tf_data.as_batches(batched.unbatch(), model())
    assert [len(x) for x, _ in samples.as_numpy_iterator()] == [6, 6, 6, 2]
    without_channel = batches(X[..., 0])
    assert tf_data.as_batches(without_channel, model()) is without_channel
    array = np.zeros(3)
    assert tf_data.as_batches(array, model()) is array


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 8, 1), (8, 8, 1, 2)])
def test_data_that_do_not_fit_the_input_shape_are_refused(shape):
    data = tf.data.Dataset.from_tensors((np.zeros((4, *shape), np.float32), np.zeros((4, 10))))
    with pytest.raises(SpecificationError, match=r"must be \(any, 8, 8, 1\) for batches, or \(8, 8, 1\)"):
        tf_data.as_batches(data, model())


@pytest.mark.parametrize(
    ("data", "steps", "message"),
    [
        (batches().take(0), None, "The training data set of 'm' is empty"),
        (batches().repeat(), None, "without an end: set my_model.steps_per_epoch"),
    ],
    ids=["empty", "endless"],
)
def test_data_that_cannot_be_trained_with_are_refused(data, steps, message):
    with pytest.raises((DatasetError, SpecificationError), match=message):
        tf_data.for_training(data, model(), network(), steps)


def test_an_endless_validation_needs_its_number_of_steps():
    with pytest.raises(SpecificationError, match=r"set my_model\.validation_steps"):
        tf_data.for_validation(batches().repeat(), model(), network(), None)
    limited = tf_data.for_validation(batches().repeat(), model(), network(), 3)
    assert [len(list(limited.as_numpy_iterator())) for _ in range(2)] == [3, 3]


def test_values_that_are_not_finite_end_the_pass_with_the_number_of_the_batch():
    x = X.copy()
    x[7, 3, 3] = np.nan
    checked, steps = tf_data.for_training(batches(x), model(), network(), None)
    assert steps == 4
    message = r"^Reading the data failed: batch 2 of an epoch holds values that are not finite"
    with pytest.raises(DatasetError, match=message), tf_data.data_errors():
        list(checked.take(4).as_numpy_iterator())
    with pytest.raises(EvaluationError, match="Sample 7 of x holds values that are not finite"):
        list(iterate_batches(batches(x)))


@pytest.mark.parametrize("steps", [None, 2], ids=["whole", "steps"])
def test_a_resumed_training_sees_the_orders_of_one_that_was_not_interrupted(steps):
    def stream(done, batches):
        rows = np.arange(12, dtype=np.float32).reshape(12, 1)
        data = tf.data.Dataset.from_tensor_slices((rows, rows)).shuffle(12, seed=3).batch(4)
        prepared, in_epoch = tf_data.for_training(data, model(), SimpleNamespace(), steps, done)
        assert in_epoch == (steps or 3)
        return [x.tolist() for x, _ in prepared.take(batches).as_numpy_iterator()]

    whole = stream(done=0, batches=4 * (steps or 3))
    assert whole[:3] != whole[3:6]
    assert stream(done=2, batches=2 * (steps or 3)) == whole[2 * (steps or 3) :]


def test_a_data_set_of_unknown_length_is_read_to_its_end():
    unknown = batches().filter(lambda x, y: True)
    prepared, steps = tf_data.for_training(unknown, model(), network(), None)
    assert steps is None
    assert len(list(prepared.as_numpy_iterator())) == 4


def test_shapes_that_python_functions_hide_are_those_of_the_network():
    def hide(v):
        return tf.numpy_function(lambda a: a, [v], tf.float32)

    data = batches().map(lambda x, y: (hide(x), hide(y)))
    x, y = tf_data.for_training(data, model(), network(), None)[0].element_spec
    assert tuple(x.shape) == (None, 8, 8, 1)
    assert y.shape.rank == 2


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
def test_an_error_of_a_python_function_is_raised_as_what_it_is(kept):
    def fails(v):
        try:
            return 1 // int(v)
        except ZeroDivisionError as e:
            raise (RuntimeError(tf_data.record_failure(e)) if kept else e) from None

    data = tf.data.Dataset.range(2).map(lambda v: tf.numpy_function(fails, [v], tf.int64))
    expected = ZeroDivisionError if kept else DatasetError
    with pytest.raises(expected) as caught, tf_data.data_errors():
        list(data.as_numpy_iterator())
    if kept:
        assert caught.traceback[-1].name == "fails"
    else:
        assert str(caught.value).startswith("Reading the data failed: ZeroDivisionError: ")
        assert "test_tf_data.py:" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_error_of_an_operation_is_one_line_without_the_graph(tmp_path):
    data = tf.data.Dataset.from_tensors(str(tmp_path / "no_such")).map(tf.io.read_file)
    with pytest.raises(DatasetError) as caught, tf_data.data_errors():
        list(data.as_numpy_iterator())
    assert str(caught.value).startswith(f"Reading the data failed: {tmp_path}/no_such; No such file")
    assert "node" not in str(caught.value)


def test_errors_that_no_pipeline_made_pass():
    with pytest.raises(tf.errors.InvalidArgumentError), tf_data.data_errors():
        tf.reshape(tf.zeros(3), (2, 2))
    with pytest.raises(KeyError), tf_data.data_errors():
        raise KeyError


def test_labels_beside_a_pipeline_with_labels_are_left_aside():
    read = list(iterate_batches(batches(), np.zeros(24)))
    assert [len(y) for _, y in read] == [6, 6, 6, 2]
    np.testing.assert_array_equal(read[0][1], Y[:6])
