"""Specifications as they were written for the reference: a `MltkDataset` over tf.data, a function, `load_dataset`."""

import pytest

from mltk.core import evaluate_model, train_model

# Keras says it of networks as they were written for Keras 2.
pytestmark = pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")

# A `MltkDataset` with a pipeline of functions, an augmentation by the global generator that a counter seeds,
# and pools that are shut down: on recordings of a smart watch (BasicMotions of the UEA archive).
MOTION = """
import numpy as np
import tensorflow as tf
import mltk.core as mltk_core
from mltk.core.preprocess.utils import tf_dataset as tf_dataset_utils


# @mltk_model
class MyModel(
    mltk_core.MltkModel, mltk_core.TrainMixin, mltk_core.DatasetMixin, mltk_core.EvaluateClassifierMixin
):
    pass


my_model = MyModel()
my_model.description = "Motions of a smart watch"
my_model.epochs = 12
my_model.batch_size = 20
my_model.classes = ["badminton", "running", "standing", "walking"]
my_model.class_weights = "balanced"
my_model.input_shape = (100, 6, 1)
my_model.checkpoint["monitor"] = "val_accuracy"
my_model.train_callbacks = [tf.keras.callbacks.TerminateOnNaN()]
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = np.int8
my_model.tflite_converter["inference_output_type"] = np.int8
my_model.tflite_converter["representative_dataset"] = "generate"
my_model.tflite_converter["generate_unquantized"] = False
DATASET_DIR = "@FOLDER@"


def pipeline(batch: np.ndarray, seed: np.ndarray) -> np.ndarray:
    y = np.empty((batch.shape[0], *my_model.input_shape), np.float32)
    for i, path in enumerate(batch):
        x = np.loadtxt(path.decode("utf-8"), delimiter=",", dtype=np.float32, skiprows=1) / 10
        new_seed = tf.random.experimental.stateless_split((seed[i], seed[i]), num=1)[0]
        np.random.seed(abs(int(new_seed[0])) % (2**32 - 1))
        x = np.roll(x, np.random.randint(0, 100), axis=0) * np.random.uniform(0.8, 1.25)
        y[i, :, :, 0] = x + np.random.normal(0, 0.01, x.shape)
    return y


def plain_pipeline(batch: np.ndarray) -> np.ndarray:
    rows = [np.loadtxt(path.decode(), delimiter=",", dtype=np.float32, skiprows=1) for path in batch]
    return np.stack(rows)[..., None] / 10


class MyDataset(mltk_core.MltkDataset):
    def __init__(self):
        super().__init__()
        self.pools = []

    def load_dataset(self, subset: str, test: bool = False, **kwargs):
        if subset == "training":
            x = self.load_subset("training", augment=True)
            return x, None, self.load_subset("training", augment=False, counts="validation")
        return self.load_subset("training" if subset == "validation" else "evaluation", augment=False)

    def load_subset(self, subset, augment, counts=None):
        folder = "test" if subset == "evaluation" else "train"
        features_ds, labels_ds = tf_dataset_utils.load_image_directory(
            directory=f"{DATASET_DIR}/{folder}",
            classes=my_model.classes,
            onehot_encode=True,
            shuffle=True,
            seed=42,
            white_list_formats=[".csv"],
            class_counts=my_model.class_counts[counts or subset],
        )
        if augment:
            features_ds, labels_ds = features_ds.repeat(8), labels_ds.repeat(8)
            features_ds = tf.data.Dataset.zip((features_ds, tf.data.experimental.Counter()))
        features_ds = features_ds.batch(20)
        features_ds, pool = tf_dataset_utils.parallel_process(
            features_ds,
            pipeline if augment else plain_pipeline,
            dtype=np.float32,
            n_jobs=@JOBS@,
            name=subset,
        )
        self.pools.append(pool)
        features_ds = features_ds.unbatch().prefetch(100)
        ds = tf.data.Dataset.zip((features_ds, labels_ds))
        if augment:
            ds = ds.shuffle(400, reshuffle_each_iteration=True, seed=42)
        return ds.batch(my_model.batch_size).prefetch(2)

    def unload_dataset(self):
        for pool in self.pools:
            pool.shutdown()

    def summarize_dataset(self):
        return self.summarize_class_counts(my_model.class_counts)


my_model.dataset = MyDataset()


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Conv2D(12, (9, 6), strides=(2, 1), activation="relu"),
            layers.Conv2D(16, (5, 1), strides=(2, 1), activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.005), metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture
def motions(shared):
    folder = shared / "data" / "timeseries_motion" / "basic_motions"
    if not folder.is_dir():
        pytest.skip("the recordings of motions are not there")
    return folder


@pytest.mark.slow
def test_a_pipeline_of_recordings_reaches_the_published_accuracy_whatever_the_number_of_jobs(
    load_spec, motions
):
    text = MOTION.replace("@FOLDER@", str(motions))
    model = load_spec("motion_v1", text.replace("@JOBS@", "4"))
    results = train_model(model)
    assert model.class_counts["training"] == dict.fromkeys(model.classes, 10)
    int8 = evaluate_model(model, tflite=True)
    assert int8.n_samples == 40
    assert int8.overall_accuracy >= 0.97
    one_job = train_model(
        load_spec("motion_v1", text.replace("@JOBS@", "1")), epochs=2, quantize=False, create_archive=False
    )
    assert one_job.history["loss"] == results.history["loss"][:2]


# `load_dataset` overridden: what it sets on the model is left as it is, and an endless pipeline is given its steps.
OVERRIDDEN = """
import numpy as np
import tensorflow as tf
from mltk.core.model import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


# @mltk_model
class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    def load_dataset(self, subset: str, test: bool = False, **kwargs):
        super().load_dataset(subset)
        x = np.random.default_rng(0).normal(0, 0.1, (60, 16, 3)).astype(np.float32)
        y = (np.arange(60) % 3).astype(np.int32)
        x[np.arange(60), :, y] += 1
        data = tf.data.Dataset.from_tensor_slices((x, y)).map(lambda a, b: (tf.reshape(a, [-1, 3, 1]), b))
        if subset == "evaluation":
            self.x = data.batch(self.batch_size)
            self.eval_steps_per_epoch = int((len(data) - 1) / self.batch_size + 1)
            self.y = np.zeros(self.eval_steps_per_epoch * self.batch_size, dtype=np.int32)
        else:
            self.x = data.batch(self.batch_size).repeat()
            self.validation_data = data.batch(self.batch_size)
            self.validation_steps = 2
            self._unbatched_validation_data = data

    def summarize_dataset(self):
        return "sixty motions"


my_model = MyModel()
my_model.epochs = 3
my_model.steps_per_epoch = 20
my_model.batch_size = 16
my_model.loss = "sparse_categorical_crossentropy"
my_model.input_shape = (16, 3, 1)
my_model.classes = ("x", "y", "z")
my_model.class_weights = "none"
my_model.tflite_converter["inference_input_type"] = tf.float32
my_model.tflite_converter["inference_output_type"] = tf.float32
my_model.tflite_converter["generate_unquantized"] = False


def _generate_representative_dataset():
    return [[x] for x, _ in my_model._unbatched_validation_data.batch(1).take(20)]


my_model.tflite_converter["representative_dataset"] = _generate_representative_dataset


def build(model):
    network = tf.keras.Sequential(
        [
            tf.keras.layers.Conv2D(4, (4, 3), activation="relu", input_shape=model.input_shape),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(model.n_classes, activation="softmax"),
        ],
        name=model.name,
    )
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.01), metrics=["accuracy"])
    return network


my_model.build_model_function = build
"""

# A plain function, class counts filled in, and a representative function that reads `my_model.x`.
FUNCTION = (
    OVERRIDDEN[: OVERRIDDEN.index("    def load_dataset")]
    + """    pass


def load(subset: str, test: bool, **kwargs):
    x = np.random.default_rng(0).normal(0, 0.1, (60, 16, 3, 1)).astype(np.float32)
    y = np.arange(60) % 3
    x[np.arange(60), :, y] += 1
    features = tf.data.Dataset.from_tensor_slices(x)
    labels = tf.data.Dataset.from_tensor_slices(y).map(lambda v: tf.one_hot(v, depth=3, dtype=tf.int32))
    data = tf.data.Dataset.zip((features, labels)).shuffle(60, seed=42).batch(16)
    my_model.class_counts[subset] = dict.fromkeys(my_model.classes, 20)
    return (data, None, data) if subset == "training" else data


def representative():
    for x, y in my_model.x.unbatch().batch(1).take(20):
        yield [x]


my_model = MyModel()
my_model.dataset = load
my_model.epochs = 12
my_model.class_weights = "balanced"
my_model.input_shape = (16, 3, 1)
my_model.classes = ("x", "y", "z")
my_model.tflite_converter["representative_dataset"] = representative
"""
    + OVERRIDDEN[OVERRIDDEN.index("\n\ndef build(") :]
)


@pytest.mark.slow
@pytest.mark.parametrize("text", [OVERRIDDEN, FUNCTION], ids=["load_dataset overridden", "function"])
def test_other_ways_to_load_train_quantize_and_evaluate(load_spec, text):
    model = load_spec("other_v1", text)
    results = train_model(model)
    assert results.history["val_accuracy"][-1] > 0.9
    for tflite in (False, True):
        evaluation = evaluate_model(model, tflite=tflite)
        assert evaluation.n_samples == 60
        assert evaluation.overall_accuracy > 0.9


WRONG = """
def load(subset, test=False, **kwargs):
    x = np.zeros((12, 16, 3, 1), np.float32)
    data = tf.data.Dataset.from_tensor_slices((x, np.eye(3, dtype=np.float32)[np.arange(12) % 3]))
    {change}
    return data


my_model.dataset = load
my_model.class_weights = "none"
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "x[7, 3] = np.nan; data = tf.data.Dataset.from_tensor_slices((x, np.ones((12, 3)))).batch(4)",
            "batch 2 of an epoch",
        ),
        ("data = data.batch(4).repeat()", "repeats without an end: set my_model.steps_per_epoch"),
        ("data = data.batch(4).filter(lambda a, b: False)", "is empty"),
        ("data = data.take(0).batch(4)", "is empty"),
        ("data = data.map(lambda a, b: (a[:9], b)).batch(4)", "must be (any, 16, 3, 1) for batches"),
        (
            "data, _ = tf_dataset.parallel_process(data.batch(4), lambda a, b: (a[:, :9], b), (np.float32,) * 2)",
            "gives tensors of the shape (4, 9, 3, 1)",
        ),
        (
            "data, _ = tf_dataset.parallel_process(data.batch(4), lambda a, b: a[99], name='training')",
            "IndexError: index 99 is out of bounds for axis 0 with size 4 Raised in parallel_process('training') by "
            "element 0 of the data set.",
        ),
    ],
    ids=["NaN", "endless", "all filtered out", "empty", "shape", "shape from Python", "callback"],
)
def test_wrong_data_are_reported_in_one_line(tmp_path, mltk_cli, change, message):
    text = FUNCTION + WRONG.format(change=change)
    text = text.replace(
        "import numpy as np", "import numpy as np\nfrom mltk.core.preprocess.utils import tf_dataset", 1
    )
    (tmp_path / "wrong_v1.py").write_text(text, encoding="utf-8")
    result = mltk_cli.invoke(["train", str(tmp_path / "wrong_v1.py")])
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("mltk: error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in result.stderr
