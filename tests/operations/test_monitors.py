"""What callbacks monitor, and in which direction: Keras knows its metrics."""

from pathlib import Path

import pytest

from mltk.core import load_mltk_model, train_model
from mltk.errors import SpecificationError

SMALL = """
def load(subset, test=False, **kwargs):
    x = np.linspace(0, 1, 64 * 8, dtype="float32").reshape(64, 8)
    y = np.eye(2, dtype="float32")[(np.arange(64) > 31).astype(int)]
    return (x, y, (x, y)) if subset == "training" else (x, y)

def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.InputLayer((8,)), layers.Dense(8, "relu"), layers.Dense(2, "softmax")])
    network.compile(tf.keras.optimizers.Adam(0.01), model.loss, metrics=model.metrics)
    return network

my_model.dataset = load
my_model.build_model_function = build
my_model.classes = ["a", "b"]
my_model.input_shape = (8,)
my_model.batch_size = 16

def own(y_true, y_pred):
    return tf.reduce_mean(y_pred, axis=-1)

class Reporter(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs):
        logs["val_f2"] = 10.0 - epoch
"""


@pytest.mark.parametrize("metric", ["CosineSimilarity", "FBetaScore", "R2Score"])
def test_metrics_of_keras_are_monitored_in_their_own_direction(write_spec, metric):
    model = load_mltk_model(write_spec("direction_v1", more=SMALL))
    import keras

    options = {"average": "macro"} if metric == "FBetaScore" else {}
    model.metrics = [getattr(keras.metrics, metric)(name="m", **options)]
    model.checkpoint["monitor"] = "val_m"
    model.early_stopping = {"monitor": "val_m", "patience": 2}
    results = train_model(model, epochs=5, quantize=False)
    values = results.history["val_m"]
    assert values == sorted(values)
    assert len(values) == 5
    best = values.index(max(values)) + 1
    assert Path(model.get_weights_path("best")).name.startswith(f"weights-{best:03d}")


@pytest.mark.parametrize("name", ["early_stopping", "checkpoint", "reduce_lr_on_plateau"])
def test_unknown_direction_is_one_line_before_the_first_epoch_ends(write_spec, name):
    model = load_mltk_model(write_spec("unknown_v1", more=SMALL))
    module = model.specification_module
    model.metrics = [module.own]
    getattr(model, name)["monitor"] = "val_own"
    ended = []
    import keras

    model.train_callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=lambda *args: ended.append(1))]
    with pytest.raises(SpecificationError, match=rf"monitors 'val_own'.*my_model\.{name}\['mode'\]") as error:
        train_model(model, epochs=1, quantize=False)
    assert "\n" not in str(error.value)
    assert not ended
    getattr(model, name)["mode"] = "min"
    assert train_model(model, epochs=1, quantize=False).epochs == [0]


def test_values_that_callbacks_report_may_be_monitored(write_spec):
    model = load_mltk_model(write_spec("reported_v1", more=SMALL))
    model.train_callbacks = [model.specification_module.Reporter()]
    model.checkpoint["monitor"] = "val_f2"
    with pytest.raises(SpecificationError, match="monitors 'val_f2', and Keras does not know"):
        train_model(model, epochs=1, quantize=False)
    model.checkpoint["mode"] = "max"
    train_model(model, epochs=2, quantize=False)
    assert Path(model.get_weights_path("best")).name == "weights-001-10.0000.weights.h5"
