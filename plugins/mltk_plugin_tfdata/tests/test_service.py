"""The `tf.data` service, with a dispatcher and workers in separate processes."""

import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from mltk.core import train_model
from mltk.errors import DatasetError, SpecificationError
from mltk.model.event import MltkModelEvent
from mltk_plugin_tfdata import seeded_batches, service

SPEC = """
import numpy as np
import tensorflow as tf
from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk_plugin_tfdata import TfDataDatasetMixin, seeded_batches


# @mltk_model
class MyModel(MltkModel, TrainMixin, TfDataDatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.epochs = 3
my_model.batch_size = 8
my_model.classes = ["low", "high"]
my_model.input_shape = (6,)
my_model.loss = "sparse_categorical_crossentropy"


def augmented(x, y, seed):
    return x + tf.random.stateless_normal([6], seed, stddev=0.3), y


def load(subset, test=False, **kwargs):
    x = np.random.default_rng(0).random((240, 6), np.float32)
    y = (x.mean(axis=1) > 0.5).astype(np.int32)
    return seeded_batches((x, y), augmented, batch_size=my_model.batch_size, seed=my_model.seed)


my_model.dataset = load


def build(model):
    network = tf.keras.Sequential(
        [
            tf.keras.layers.InputLayer(model.input_shape),
            tf.keras.layers.Dense(8, activation="relu"),
            tf.keras.layers.Dense(2, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer="adam", metrics=["accuracy"])
    return network


my_model.build_model_function = build
"""


class Service:
    """Dispatcher and worker processes."""

    def __init__(self):
        self.processes = []

    def start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "mltk", "tfdata-service", *arguments], stdout=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def address(self, process):
        line = process.stdout.readline().split()
        assert line[:2] == ["tf.data", line[1]], line
        return line[-1]

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def started():
    """Start a dispatcher and two workers; yield the address and the worker processes."""
    service = Service()
    try:
        dispatcher = service.start("dispatcher", "--port", "0")
        address = service.address(dispatcher)
        workers = [service.start("worker", "--dispatcher", address) for _ in range(2)]
        for worker in workers:
            service.address(worker)
        yield address, workers
    finally:
        service.end()


def trained(load_spec, address=None, callback=None):
    model = load_spec("served_v1", SPEC)
    model.tf_data_service = address
    streams = []
    if address:
        model.add_event_handler(
            MltkModelEvent.AFTER_TRAIN,
            lambda mltk_model, **kwargs: streams.append(mltk_model.x.source.stream),
        )
    if callback:
        model.train_callbacks = [callback]
    results = train_model(model, quantize=False, create_archive=False)
    return results, streams[0] if streams else None


@pytest.mark.slow
def test_a_training_run_is_the_same_with_a_service_and_when_a_worker_is_killed(load_spec, started, caplog):
    address, workers = started
    without, _ = trained(load_spec)

    served, stream = trained(load_spec, address)
    assert served.history == without.history
    assert stream.received >= 80
    assert stream.taken_over == 0

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 10 and workers[0].poll() is None:
                workers[0].kill()
                workers[0].wait()

    killed, stream = trained(load_spec, address, Kill())
    assert workers[0].poll() is not None
    assert killed.history == without.history
    assert stream.received >= 60
    for one, other in zip(without.keras_model.get_weights(), killed.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_function_that_calls_python_is_rejected():
    def python(x, seed):
        return tf.numpy_function(np.sqrt, [x], tf.float32)

    batches = seeded_batches(np.ones((4, 2), np.float32), python, batch_size=2, seed=0)
    with pytest.raises(SpecificationError, match="calls Python"):
        service.ServiceStream(batches.source, "grpc://localhost:1")


@pytest.mark.parametrize(
    "address", ["localhost:5050", "grpc://localhost", "http://localhost:1", "grpc://:1", "grpc://h:0"]
)
def test_an_address_of_another_form_is_rejected_where_it_is_set(load_spec, address):
    model = load_spec("served_v1", SPEC)
    with pytest.raises(SpecificationError, match=r"must be 'grpc://HOST:PORT', got"):
        model.tf_data_service = address


def test_an_address_that_nobody_listens_on_is_one_line_in_bounded_time(load_spec, monkeypatch):
    monkeypatch.setattr(service, "CONNECT_TIMEOUT", 0.3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(
        DatasetError, match=rf"No dispatcher answers at my_model.tf_data_service = 'grpc://127.0.0.1:{port}'"
    ):
        trained(load_spec, f"grpc://127.0.0.1:{port}")


def test_a_dispatcher_without_workers_is_one_line_in_bounded_time(monkeypatch):
    monkeypatch.setattr(service, "FIRST_BATCH_TIMEOUT", 0.5)
    dispatcher = tf.data.experimental.service.DispatchServer(
        tf.data.experimental.service.DispatcherConfig(port=0)
    )
    batches = seeded_batches(np.zeros((4, 2), np.float32), batch_size=2, seed=0)
    batches.use_service(service.ServiceStream(batches.source, dispatcher.target))
    with pytest.raises(
        DatasetError, match=r"No worker of the tf.data service at .* sent a batch within 0 s. Start one"
    ):
        next(iter(batches))
    batches.close()


def test_other_data_cannot_come_from_a_service(load_spec):
    model = load_spec("served_v1", SPEC)
    model.dataset = lambda **kwargs: (np.zeros((4, 6), np.float32), np.zeros(4))
    model.tf_data_service = "grpc://localhost:1"
    with pytest.raises(
        SpecificationError, match=r"requires training data from seeded_batches\(…\), got ndarray"
    ):
        train_model(model, quantize=False, create_archive=False)


def test_large_columns_are_rejected(monkeypatch):
    monkeypatch.setattr(service, "_LARGEST_COLUMNS", 10)
    batches = seeded_batches(["a long text"], batch_size=2, seed=0)
    with pytest.raises(DatasetError, match="Pass file paths as columns"):
        service.ServiceStream(batches.source, "grpc://localhost:1")


def test_a_port_that_is_taken_and_a_dispatcher_that_is_missing_are_one_line(mltk_cli):
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = mltk_cli.invoke(["tfdata-service", "dispatcher", "--port", port])
    assert result.exit_code == 1
    assert (
        result.stderr.strip()
        == f"mltk: error: Port {port} cannot be used: Address already in use. Choose another with --port."
    )
    result = mltk_cli.invoke(
        ["tfdata-service", "worker", "--dispatcher", f"127.0.0.1:{port}", "--timeout", "1"]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "No dispatcher answers" in result.stderr
