"""Load the archives that the reference's wheel ships: parameters, summary, `.tflite`, Keras model, specification.

    python plugins/mltk_plugin_migrate/tests/dropin/run_reference_archives.py [--wheel FILE] [--output TABLE.md]

No code of an archive runs, except for the last column, where its specification is loaded as one that is trusted.
The exit code is 0 when everything loads but what `EXPECTED` names.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from run_reference_specs import ROOT, WHEEL, download_wheel, unpack

COLUMNS = ("written by", "parameters", "summary", ".tflite runs", ".h5 loads", "specification loads")

EXPECTED = {
    ("fingerprint_signature_generator", "specification loads"): (
        "No module named 'keras_preprocessing'",
        "the script imports `keras_preprocessing`, a package that Keras gave up in 2022, and a script beside it that "
        "the archive does not hold.",
    ),
}
"""Archive and column to the error, and the reason, why it does not load."""


def main() -> int:
    """Load the archives and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheel", type=Path, help="the wheel, instead of downloading it")
    parser.add_argument("--output", type=Path, help="write the table to this file as well")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "dropin", help="folder to work in")
    arguments = parser.parse_args()
    wheel = arguments.wheel or download_wheel(arguments.work)
    if wheel is None:
        print(f"SKIPPED: {WHEEL} cannot be downloaded; give the wheel with --wheel.", file=sys.stderr)
        return 0
    folder = arguments.work.resolve() / "archives"
    shutil.rmtree(folder, ignore_errors=True)
    unpack(wheel, folder)
    os.environ |= {
        "MLTK_OFFLINE": "1",
        "MLTK_INSTALL_PACKAGES": "never",
        "MLTK_CACHE_DIR": str(folder / "cache"),
    }
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    rows = {path: answers(path) for path in sorted(folder.rglob("*.mltk.zip"))}
    text = table(rows)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    broken = [
        f"{name_of(path)} ({column})"
        for path, row in rows.items()
        for column, answer in zip(COLUMNS, row, strict=True)
        if not as_expected(name_of(path), column, answer)
    ]
    if broken:
        print(f"Not as expected: {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def name_of(path: Path) -> str:
    """Return the name of an archive's model."""
    return path.name.removesuffix(".mltk.zip")


def as_expected(name: str, column: str, answer: object) -> bool:
    """Tell whether something loads, or does not for the reason that is known."""
    if (name, column) in EXPECTED:
        return isinstance(answer, Exception) and EXPECTED[name, column][0] in str(answer)
    return not isinstance(answer, Exception)


def answers(path: Path) -> list[object]:
    """Return a cell of the table, or the error, for each column."""
    name = name_of(path)
    row: list[object] = []
    for attempt in (version, parameters, summary, tflite, keras_model, specification):
        try:
            row.append(attempt(path, name))
        except Exception as e:  # What goes wrong, whatever it is, is what the table shows.
            row.append(e)
    return row


def version(path: Path, name: str) -> str:
    """Return the version that wrote the archive, from the first line of its specification."""
    from mltk.core.archive import ModelArchive

    return ModelArchive(path).read(f"{name}.py").decode().partition("\n")[0].split("'")[1]


def parameters(path: Path, name: str) -> str:
    """Count the parameters in the `.tflite`."""
    from mltk.core import TfliteModelParameters, load_tflite_model

    return str(len(TfliteModelParameters.load_from_tflite_model(load_tflite_model(str(path)))))


def summary(path: Path, name: str) -> str:
    """Summarize both models."""
    from mltk.core import summarize_model

    lines = summarize_model(path).splitlines() + summarize_model(path, tflite=True).splitlines()
    return f"{len(lines)} lines"


def tflite(path: Path, name: str) -> str:
    """Run the `.tflite` and return the shape of its answer."""
    import numpy as np

    from mltk.core import load_tflite_model

    model = load_tflite_model(str(path))
    answer = model.predict(np.zeros((1, *model.inputs[0].shape[1:]), np.float32), y_dtype=np.float32)
    assert np.isfinite(answer).all()
    return "×".join(map(str, answer.shape[1:]))


def keras_model(path: Path, name: str) -> str:
    """Load and run the Keras model, without trust, and count its weights."""
    import numpy as np

    from mltk.core.archive import ModelArchive
    from mltk.keras.saving import load_keras_model

    with tempfile.TemporaryDirectory() as folder:
        model: Any = load_keras_model(ModelArchive(path).extract([f"{name}.h5"], Path(folder))[0])
    model.predict_on_batch(np.zeros((1, *model.input_shape[1:]), np.float32))
    return f"{model.count_params():,}"


def specification(path: Path, name: str) -> str:
    """Run the specification."""
    from mltk.core import load_mltk_model

    return f"version {load_mltk_model(path, trust=True).version}"


def table(rows: dict[Path, list[object]]) -> str:
    """Return the answers as a Markdown table, and the errors below it."""
    lines = ["| archive | " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    errors = []
    for path, row in rows.items():
        cells = ["no" if isinstance(answer, Exception) else str(answer) for answer in row]
        name = name_of(path)
        lines.append(f"| {path.parent.name}/{name} | {' | '.join(cells)} |")
        for column, answer in zip(COLUMNS, row, strict=True):
            if isinstance(answer, Exception):
                known = as_expected(name, column, answer)
                reason = EXPECTED[name, column][1] if known else " ".join(str(answer).split())[:300]
                errors.append(f"- {name}, {column}: {reason}")
    loaded = [sum(not isinstance(row[i], Exception) for row in rows.values()) for i in range(len(COLUMNS))]
    lines.append(f"| **{len(rows)}** | " + " | ".join(f"**{n}**" for n in loaded) + " |")
    return "\n".join([*lines, *([""] if errors else []), *errors])


if __name__ == "__main__":
    sys.exit(main())
