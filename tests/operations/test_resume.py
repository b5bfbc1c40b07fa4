"""`--resume`: what a resumed training keeps, refuses and finds."""

import logging
from pathlib import Path

import numpy as np
import pytest

from mltk.core import load_mltk_model, train_model
from mltk.errors import FileFormatError, SpecificationError
from mltk.keras.run_files import whole_epochs

# A few samples and a tiny network: a training takes a second.
SMALL = """
def load(subset, test=False, **kwargs):
    images, labels = load_digits(return_X_y=True)
    x, y = (images / 16).astype("float32").reshape(-1, 8, 8, 1)[:64], np.eye(10, dtype="float32")[labels][:64]
    return (x, y, (x, y)) if subset == "training" else (x, y)

def build(model):
    network = tf.keras.Sequential([
        tf.keras.layers.InputLayer(model.input_shape), tf.keras.layers.Flatten(), tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10, activation="softmax"),
    ])
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.01), metrics=["accuracy"])
    return network

my_model.dataset = load
my_model.build_model_function = build
my_model.batch_size = 16
"""

COUNTS = """
class Warm(tf.keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.n = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.n += 1
        self.model.optimizer.learning_rate = 0.02 / (1 + self.n)

my_model.train_callbacks = [Warm()]
"""


class Interrupted(Exception):
    pass


def stop_at(model, epoch):
    import keras

    def stop(number, logs):
        if number == epoch:
            raise Interrupted

    model.train_callbacks = [*model.train_callbacks, keras.callbacks.LambdaCallback(on_epoch_begin=stop)]


def weights(results):
    return results.keras_model.get_weights()


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_callback_that_counts_for_itself_goes_on_counting(write_spec):
    path = write_spec("counts_v1", more=SMALL + COUNTS)
    whole = train_model(str(path), epochs=4, quantize=False)
    train_model(str(path), epochs=2, quantize=False)
    resumed = train_model(str(path), epochs=4, quantize=False, resume_epoch=-1)
    assert_equal(weights(whole), weights(resumed))
    assert resumed.history == whole.history


def test_state_that_cannot_be_kept_is_named(write_spec, caplog):
    more = COUNTS.replace("self.n = 0", "self.n = 0; self.window = object()")
    path = write_spec("unkept_v1", more=SMALL + more)
    train_model(str(path), epochs=1, quantize=False)
    logger = logging.getLogger("mltk")
    logger.addHandler(caplog.handler)
    try:
        train_model(str(path), epochs=2, quantize=False, resume_epoch=-1)
    finally:
        logger.removeHandler(caplog.handler)
    assert "The callback Warm starts with a new window" in caplog.text


def test_state_that_is_not_plain_is_one_line(write_spec):
    more = COUNTS + "Warm.get_state = lambda self: object()\nWarm.set_state = lambda self, state: None\n"
    path = write_spec("complex_v1", more=SMALL + more)
    with pytest.raises(SpecificationError, match=r"Warm\.get_state\(\) must return numbers"):
        train_model(str(path), epochs=1, quantize=False)


def test_other_data_or_seed_are_refused_and_other_code_and_threads_are_named(write_spec, caplog, monkeypatch):
    path = write_spec("changed_v1", more=SMALL)
    train_model(str(path), epochs=1, quantize=False)
    with pytest.raises(
        SpecificationError, match=r"had the seed 42, and now it is 7\. Resume it with --seed 42"
    ):
        train_model(str(path), epochs=2, quantize=False, resume_epoch=-1, seed=7)
    text = path.read_text()
    path.write_text(text.replace("[:64]", "[64:128]"))
    with pytest.raises(SpecificationError, match="its data have changed since"):
        train_model(str(path), epochs=2, quantize=False, resume_epoch=-1)
    path.write_text(text + "\n# A remark.\n")
    monkeypatch.setattr("mltk.operations.training.provenance.thread_count", lambda: 99)
    logger = logging.getLogger("mltk")
    logger.addHandler(caplog.handler)
    try:
        train_model(str(path), epochs=2, quantize=False, resume_epoch=-1)
    finally:
        logger.removeHandler(caplog.handler)
    assert "since that epoch, the specification has changed; threads was " in caplog.text
    assert "and is 99." in caplog.text


def test_training_begun_by_mistake_loses_nothing(write_spec):
    path = write_spec("mistake_v1", more=SMALL)
    whole = train_model(str(path), epochs=4, quantize=False)
    train_model(str(path), epochs=2, quantize=False)
    for _ in range(2):
        model = load_mltk_model(path)
        load = model.dataset

        def end(**kwargs):
            raise Interrupted

        model.dataset = end
        with pytest.raises(Interrupted):
            train_model(model, epochs=4, quantize=False)
        model.dataset = load
    best = Path(model.get_weights_path("best"))
    resumed = train_model(model, epochs=4, quantize=False, resume_epoch=-1)
    assert resumed.epochs == [0, 1, 2, 3]
    assert_equal(weights(whole), weights(resumed))
    assert best.parent == Path(model.weights_dir)


def test_run_before_is_not_resumed_with_another_specification(write_spec):
    path = write_spec("other_v1", more=SMALL)
    train_model(str(path), epochs=2, quantize=False)
    path.write_text(path.read_text() + "\nmy_model.epochs = 9\n")
    model = load_mltk_model(path)
    stop_at(model, 0)
    with pytest.raises(Interrupted):
        train_model(model, epochs=1, quantize=False)
    model = load_mltk_model(path)
    assert train_model(model, epochs=1, quantize=False, resume_epoch=-1).epochs == [0]


def test_only_the_last_epochs_and_the_best_weights_are_kept(write_spec):
    path = write_spec("kept_v1", more=SMALL)
    model = load_mltk_model(path)
    model.checkpoint["monitor"] = "val_loss"
    train_model(model, epochs=6, quantize=False)
    folder = Path(model.checkpoints_dir)
    assert whole_epochs(folder) == [4, 5, 6]
    assert len(list(folder.iterdir())) == 2 * 3 + 1
    # The best of each of these epochs, so that each can be resumed.
    kept = sorted(p.name[:11] for p in Path(model.weights_dir).glob("*.h5"))
    assert kept == ["weights-004", "weights-005", "weights-006"]
    with pytest.raises(FileFormatError, match=r"after epoch 2: its state is not kept.*kept: 4, 5, 6"):
        train_model(model, epochs=6, quantize=False, resume_epoch=2)
    assert train_model(model, epochs=5, quantize=False, resume_epoch=4).epochs == [0, 1, 2, 3, 4]
    assert whole_epochs(folder) == [4, 5]
    model.checkpoints_to_keep = None
    train_model(model, epochs=5, quantize=False)
    assert whole_epochs(folder) == [1, 2, 3, 4, 5]


def test_without_states_only_the_best_weights_are_kept(write_spec):
    model = load_mltk_model(write_spec("stateless_v1", more=SMALL))
    model.checkpoints_enabled = False
    model.checkpoint["monitor"] = "val_loss"
    train_model(model, epochs=4, quantize=False)
    assert [p.name[:11] for p in Path(model.weights_dir).glob("*.h5")] == ["weights-004"]


def test_weights_that_early_stopping_restores_are_kept(write_spec):
    model = load_mltk_model(write_spec("restoring_v1", more=SMALL))
    # The loss only falls: the first epoch is the best.
    model.early_stopping = {"monitor": "val_loss", "mode": "max", "patience": 9, "restore_best_weights": True}
    stop_at(model, 5)
    with pytest.raises(Interrupted):
        train_model(model, epochs=6, quantize=False)
    assert whole_epochs(Path(model.checkpoints_dir)) == [1, 3, 4, 5]


def test_best_record_is_that_of_the_epoch_that_is_resumed(write_spec):
    model = load_mltk_model(write_spec("record_v1", more=SMALL))
    model.checkpoint["monitor"] = "val_loss"
    train_model(model, epochs=4, quantize=False)
    assert Path(model.get_weights_path("best")).name.startswith("weights-004")
    stop_at(model, 3)
    with pytest.raises(FileFormatError, match="callbacks have changed"):
        train_model(model, epochs=5, quantize=False, resume_epoch=3)
    model.train_callbacks = []
    results = train_model(model, epochs=3, quantize=False, resume_epoch=3)
    assert results.epochs == [0, 1, 2]
    assert Path(model.get_weights_path("best")).name.startswith("weights-003")
