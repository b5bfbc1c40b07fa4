"""Compare mltk with the same work in plain Keras and TensorFlow; print medians and ratios.

    python benchmarks/plain_keras.py [epoch] [command] [quantize] [--runs 5]

epoch     an epoch of the reference's `image_example1`: JPEG files with full augmentation in mltk, against `fit` with
          the same images in memory without augmentation; alternating in one process
command   `mltk train`, with quantization and both evaluations, against a script that does the same, in new processes
quantize  conversion of a trained model to float32 and int8, against the plain converter with the same samples
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "reference"))
import data  # noqa: E402

SPECS = HERE / "reference" / "specs"
SAMPLES = 1350
EPOCHS = 3
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, "specs")
import bench_by_hand as model

x, y = model.x, model.y
network = model.build()
cut = int(len(x) * 0.9)
history = network.fit(x[:cut], y[:cut], validation_data=(x[cut:], y[cut:]), batch_size=32, epochs=EPOCHS, verbose=2)
Path("history.json").write_text(json.dumps(history.history))
network.save("by_hand.keras")
network.save("by_hand.h5")
for name, content in zip(("float32", "int8"), model.convert(network, ([x[i : i + 1]] for i in range(1000)))):
    Path(f"by_hand.{name}.tflite").write_bytes(content)

from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path="by_hand.int8.tflite", num_threads=2)
inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.allocate_tensors()
scale, zero = inputs["quantization"]
scores = []
for sample in x:
    interpreter.set_tensor(inputs["index"], np.clip(np.round(sample / scale) + zero, -128, 127).astype(np.int8)[None])
    interpreter.invoke()
    scores.append(interpreter.get_tensor(outputs["index"])[0])
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
for name, prediction in (("keras", network.predict(x, verbose=0)), ("tflite", np.array(scores))):
    found = prediction.argmax(1)
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (y.argmax(1), found), 1)
    print(name, "accuracy", matrix.trace() / len(x))
    plt.matshow(matrix)
    plt.savefig(f"{name}.png")
"""
BY_HAND = """
import os
import numpy as np
import keras, tensorflow as tf

keras.utils.set_random_seed(42)
tf.config.experimental.enable_op_determinism()
n = int(os.environ["MLTK_BENCHMARK_SAMPLES"])
ids = np.arange(n) % 3
x = np.random.default_rng(1).normal(size=(n, 96, 96, 1)).astype("float32") + ids[:, None, None, None].astype("float32")
y = keras.utils.to_categorical(ids, 3)


class Shape:
    input_shape, n_classes, name = (96, 96, 1), 3, "by_hand"


def build():
    import bench_image
    return bench_image.build(Shape)


def convert(network, samples):
    samples = list(samples)
    plain = tf.lite.TFLiteConverter.from_keras_model(network)
    yield plain.convert()
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: iter(samples)
    yield converter.convert()
"""


def epoch(folder: Path, runs: int) -> None:
    """Compare epochs of `fit` in one process."""
    images = data.write_images(folder / "images", SAMPLES)
    os.environ["MLTK_BENCHMARK_DATA"] = str(images)
    from mltk.core import load_mltk_model
    from mltk.operations.training.build import build_keras_model

    model = load_mltk_model(SPECS / "bench_image.py")
    model.load_dataset("training")
    augmented = model.x
    plain_x, plain_y = _in_memory(images, augmented.filenames, augmented)
    ours, plain = (build_keras_model(model) for _ in range(2))
    batches = augmented.to_keras()

    def fit_ours() -> None:
        ours.fit(batches, epochs=1, verbose=0)

    def fit_plain() -> None:
        plain.fit(plain_x, plain_y, batch_size=32, epochs=1, verbose=0)

    times, used = _measure_alternately([fit_ours, fit_plain], runs, warm_up=2)
    print(f"| epoch, s | {times[0]:.3f} | {times[1]:.3f} | {times[0] / times[1]:.2f} | 1.15 |")
    print(f"| epoch, processor s | {used[0]:.3f} | {used[1]:.3f} | {used[0] / used[1]:.2f} | |")
    model.unload_dataset()


def _in_memory(images: Path, names: list[str], iterator: object) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    x = np.stack([cv2.imread(str(images / name), cv2.IMREAD_GRAYSCALE) for name in names])[..., None]
    x = x.astype(np.float32)
    x -= x.mean(axis=(1, 2, 3), keepdims=True)
    x /= x.std(axis=(1, 2, 3), keepdims=True) + 1e-6
    return x, np.eye(3, dtype=np.float32)[np.asarray(iterator.classes)]


def command(folder: Path, runs: int) -> None:
    """Compare whole processes."""
    work = _work_folder(folder)
    script = work / "by_hand.py"
    script.write_text(SCRIPT.replace("EPOCHS", str(EPOCHS)))
    environment = {**os.environ, "MLTK_BENCHMARK_SAMPLES": str(SAMPLES), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {
        "MLTK_CACHE_DIR": str(work / "cache"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "MLTK_BLOCK_PLUGINS": "example",
    }
    program = str(Path(sys.executable).with_name("mltk"))

    def run(*words: str) -> Callable[[], None]:
        def once() -> None:
            done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr[-2000:])

        return once

    (ours, plain), _ = _measure_alternately(
        [
            run(program, "train", "specs/bench_arrays.py", "--clean", "--epochs", str(EPOCHS)),
            run(sys.executable, str(script)),
        ],
        runs,
        warm_up=1,
    )
    print(f"| whole command, s | {ours:.2f} | {plain:.2f} | {ours - plain:+.2f} s | +3 s |")


def quantize(folder: Path, runs: int) -> None:
    """Compare conversions in one process."""
    work = _work_folder(folder)
    os.environ |= {"MLTK_BENCHMARK_SAMPLES": str(SAMPLES), "MLTK_CACHE_DIR": str(work / "cache")}
    sys.path.insert(0, str(work / "specs"))
    from mltk.core import load_mltk_model, quantize_model

    model = load_mltk_model(work / "specs/bench_arrays.py")
    import bench_by_hand

    network = bench_by_hand.build()
    network.fit(bench_by_hand.x[:96], bench_by_hand.y[:96], epochs=1, verbose=0)

    def ours() -> None:
        quantize_model(model, network, update_archive=False)

    def bare() -> None:
        x = bench_by_hand.x
        for name, content in zip(
            ("float32", "int8"),
            bench_by_hand.convert(network, ([x[i : i + 1]] for i in range(1000))),
            strict=True,
        ):
            (work / f"{name}.tflite").write_bytes(content)

    times, _ = _measure_alternately([ours, bare], runs, warm_up=1)
    print(
        f"| quantize, float32 and int8, s | {times[0]:.3f} | {times[1]:.3f} | {times[0] / times[1]:.2f} | 1.2 |"
    )


def _work_folder(folder: Path) -> Path:
    work = folder / "work"
    if not work.exists():
        shutil.copytree(SPECS, work / "specs")
        (work / "specs" / "bench_by_hand.py").write_text(BY_HAND)
    return work


def _measure_alternately(
    functions: list[Callable[[], None]], runs: int, warm_up: int
) -> tuple[list[float], list[float]]:
    """Call functions alternately, after warm-up calls.

    Returns:
        Median wall-clock times and median processor times of the functions, in seconds.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    processor: list[list[float]] = [[] for _ in functions]
    for i in range(warm_up + runs):
        for function, by_clock, used in zip(functions, seconds, processor, strict=True):
            start, start_used = time.perf_counter(), time.process_time()
            function()
            if i >= warm_up:
                by_clock.append(time.perf_counter() - start)
                used.append(time.process_time() - start_used)
    return [statistics.median(own) for own in seconds], [statistics.median(own) for own in processor]


COMPARISONS = {f.__name__: f for f in (epoch, command, quantize)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    unknown = set(options.names) - set(COMPARISONS)
    if unknown:
        parser.error(f"No such comparison: {', '.join(unknown)}. There are {', '.join(COMPARISONS)}.")
    print("| what | mltk | by hand | ratio | asked for |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        if len(options.names) == 1:
            COMPARISONS[options.names[0]](Path(name), options.runs)
            return
        for comparison in (COMPARISONS[name] for name in options.names or COMPARISONS):
            # Separate processes: they set variables that TensorFlow reads only once.
            words = [sys.executable, __file__, comparison.__name__, "--runs", str(options.runs)]
            table = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
            print("\n".join(table[2:]), flush=True)


if __name__ == "__main__":
    main()
