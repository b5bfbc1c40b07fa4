"""End trainings with SIGKILL at random moments, and see what they leave.

    python tests/reliability/kill.py --kills 60

A process that has imported everything, and has not used TensorFlow yet, is forked for each training: that is as good as
a new process, without the seconds for imports. A killed training is resumed, and mostly killed again, until it ends.

Each moment is either a step of the program (a file that is opened to be written, moved or removed, the end of a batch,
an event of the model), which reaches the places where things go wrong, or a time, which reaches all others.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SPECIFICATION = """
# @mltk_model
import os
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.utils.archive_downloader import download_verify_extract


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.epochs = 4
my_model.batch_size = 16
my_model.classes = ["a", "b", "c"]
my_model.input_shape = (8, 8, 1)
my_model.checkpoint["monitor"] = "val_loss"
my_model.early_stopping = dict(monitor="val_loss", patience=3, restore_best_weights=True)
my_model.reduce_lr_on_plateau.update(monitor="loss", patience=1, min_delta=0.5)
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset_max_samples"] = 10


def load(subset, **kwargs):
    folder = download_verify_extract(
        os.environ["DATA_URL"], dest_dir=os.environ["DATA_DIR"], download_dir=os.environ["DATA_DIR"] + "-download",
        file_hash=os.environ["DATA_HASH"],
    )
    arrays = np.load(folder + "/data.npz")
    x, y = arrays["x"], np.eye(3, dtype="float32")[arrays["y"]]
    if subset == "training":
        return x[:96], y[:96], (x[96:], y[96:])
    return x[96:], y[96:]


my_model.dataset = load


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential([
        layers.InputLayer(model.input_shape),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(model.n_classes, activation="softmax"),
    ])
    network.compile(loss=model.loss, optimizer="adam", metrics=["accuracy"])
    return network


my_model.build_model_function = build
"""

NAME = "killed_v1"

# Their content has times of the day.
_LOGS = ("log.txt",)


@dataclass
class Report:
    """What came of the kills.

    Attributes:
        kills: How many trainings were killed.
        phases: How many in each phase of a training.
        ended: How many trainings ended by themselves.
        problems: What was wrong, in words.
        seconds: How long it took.
    """

    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Bench:
    """Trains, kills and compares, in a folder of its own.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "server" / "data.zip"
        self.data.parent.mkdir()
        self._make_data()

    def _make_data(self) -> None:
        import numpy as np

        rng = np.random.default_rng(1)
        y = rng.integers(0, 3, 144)
        x = (rng.normal(size=(144, 8, 8, 1)) + y[:, None, None, None] - 1).astype("float32")
        np.savez(self.root / "data.npz", x=x, y=y)
        with zipfile.ZipFile(self.data, "w") as archive:
            archive.write(self.root / "data.npz", "data.npz")
            archive.writestr("more.bin", rng.bytes(3_000_000))

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the data set, slowly enough that a download can be killed; give its address."""

        class Slow(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def copyfile(self, source: Any, outputfile: Any) -> None:
                with contextlib.suppress(OSError):
                    while chunk := source.read(1 << 18):
                        outputfile.write(chunk)
                        time.sleep(0.01)

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(self.data.parent)))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        # In a process of its own: a fork must find no threads here.
        child = os.fork()
        if not child:
            try:
                thread.start()
                thread.join()
            finally:
                os._exit(0)
        server.socket.close()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.zip"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def new_case(self, name: str, url: str) -> Case:
        """Return a case with a folder of its own."""
        digest = hashlib.sha256(self.data.read_bytes()).hexdigest()
        return Case(self.root / name, url, digest)


class Case:
    """One model in its own folder, trained by forked processes.

    Args:
        folder: Made if it does not exist.
        url: Address of the data set.
        digest: Its SHA-256.
    """

    def __init__(self, folder: Path, url: str, digest: str) -> None:
        self.folder = folder
        self.work, self.cache = folder / "work", folder / "cache"
        self.archive = self.work / f"{NAME}.mltk.zip"
        self.log_dir = self.cache / "models" / NAME
        self.work.mkdir(parents=True)
        (self.work / f"{NAME}.py").write_text(SPECIFICATION)
        self._environment = {
            "MLTK_CACHE_DIR": str(self.cache),
            "SOURCE_DATE_EPOCH": "1700000000",
            "DATA_URL": url,
            "DATA_DIR": str(self.cache / "data"),
            "DATA_HASH": digest,
        }

    def train(
        self,
        *arguments: str,
        kill_step: tuple[str, int] | None = None,
        kill_after: float | None = None,
    ) -> tuple[int, list[str]]:
        """Run `mltk train` in a forked process.

        Args:
            *arguments: Of the command.
            kill_step: Kill it in this phase, at the step of that number in it.
            kill_after: Kill it after so many seconds.

        Returns:
            The exit code, negative for a signal, and the phase of each step.
        """
        sys.stdout.flush()
        notes = self.folder / "steps"
        notes.write_bytes(b"")
        child = os.fork()
        if not child:
            self._run(arguments, notes, kill_step)
        if kill_after is not None:
            deadline = time.monotonic() + kill_after
            while time.monotonic() < deadline:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    return self._ended(status, notes)
                time.sleep(0.005)
            os.kill(child, signal.SIGKILL)
        return self._ended(os.waitpid(child, 0)[1], notes)

    def _ended(self, status: int, notes: Path) -> tuple[int, list[str]]:
        return os.waitstatus_to_exitcode(status), notes.read_text().splitlines()

    def _run(self, arguments: tuple[str, ...], notes: Path, kill_step: tuple[str, int] | None) -> None:
        code = 70
        try:
            os.setsid()
            os.environ.update(self._environment)
            os.chdir(self.work)
            output = os.open(self.folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            _count_steps(self.folder, notes, kill_step)
            from mltk.cli.main import root_cli

            # Outside of standalone mode, click returns the code of a command that failed.
            code = root_cli(["train", NAME, *arguments], prog_name="mltk", standalone_mode=False) or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def run(self) -> bytes:
        """Return the mark of the run that would be resumed."""
        return (self.log_dir / "train" / "checkpoints" / "run.json").read_bytes()

    def output(self) -> str:
        """Return what the last training wrote."""
        return (self.folder / "output.txt").read_text(errors="replace")


def _count_steps(watched: Path, notes: Path, kill_step: tuple[str, int] | None) -> None:
    """Note each step of this process with its phase, and kill it at one of them."""
    phase = "load"
    names = {
        "before_load_dataset": "download",
        "train_startup": "start",
        "before_build_train_model": "build",
        "before_train": "epoch",
        "after_train": "saving",
        "before_save_train_archive": "archiving",
        "quantize_startup": "quantizing",
        "evaluate_startup": "evaluating",
    }
    counts: Counter[str] = Counter()
    file = os.open(notes, os.O_WRONLY | os.O_APPEND)
    prefix = str(watched)
    main = threading.get_ident()

    def step(where: str | None = None) -> None:
        where = where or phase
        os.write(file, f"{where}\n".encode())
        if (where, counts[where]) == kill_step:
            os.kill(os.getpid(), signal.SIGKILL)
        counts[where] += 1

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove") or threading.get_ident() != main:
            return
        path = str(args[0])
        # Reading changes nothing.
        reads = event == "open" and isinstance(args[1], str) and not set(args[1]) & set("wax+")
        if path.startswith(prefix) and not reads:
            step("checkpoint" if phase == "epoch" and "weights-" in path else None)

    sys.addaudithook(audit)
    from mltk.keras import callbacks
    from mltk.model.model import MltkModel

    trigger = MltkModel.trigger_event

    def trigger_event(self: MltkModel, event: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal phase
        if not (str(event) == "before_load_dataset" and phase in ("quantizing", "evaluating")):
            phase = names.get(str(event), phase)
        step()
        trigger(self, event, *args, **kwargs)

    MltkModel.trigger_event = trigger_event  # type: ignore[method-assign]
    batch_end = callbacks.Steps.on_train_batch_end

    def on_train_batch_end(self: Any, *args: Any, **kwargs: Any) -> None:
        step()
        batch_end(self, *args, **kwargs)

    callbacks.Steps.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign]


def contents(archive: Path) -> dict[str, str]:
    """Return the digests of an archive's members, without the logs; every member is read, so it is whole."""
    with zipfile.ZipFile(archive) as file:
        return {
            name: hashlib.sha256(file.read(name)).hexdigest()
            for name in file.namelist()
            if Path(name).name not in _LOGS
        }


def half_written(case: Case) -> list[str]:
    """Return the final files that cannot be read to their ends."""
    import h5py

    from mltk.core import TfliteModel

    def read(path: Path) -> None:
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
        elif path.suffix in (".zip", ".keras"):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    raise ValueError("damaged member")
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".tflite":
            TfliteModel(path.read_bytes())
        elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            raise ValueError("cut off")

    bad = []
    for path in [*case.log_dir.rglob("*"), *case.work.glob("*.zip")]:
        if path.is_file() and not path.name.startswith("."):
            try:
                read(path)
            except Exception as e:
                bad.append(f"{path.relative_to(case.folder)}: {type(e).__name__}: {e}")
    return bad


def left_over(case: Case) -> list[str]:
    """Return the temporary and lock files in the folders of the model."""
    return [
        str(path.relative_to(case.folder))
        for folder in (case.log_dir, case.work)
        for path in folder.rglob(".*")
        if path.is_file()
    ]


def differences(case: Case, expected: Case) -> list[str]:
    """Return what a resumed training made otherwise than an uninterrupted one."""
    ours, theirs = contents(case.archive), contents(expected.archive)
    found = [f"archive: {n}" for n in sorted(ours.keys() | theirs.keys()) if ours.get(n) != theirs.get(n)]

    def files(c: Case) -> dict[str, bytes]:
        wanted = ("*.tflite", "*.keras", "*.h5", "*.weights.h5", "*.json", "*.png", "*.txt")
        return {
            str(path.relative_to(c.log_dir)): path.read_bytes()
            for pattern in wanted
            for path in c.log_dir.rglob(pattern)
            if path.name not in (*_LOGS, "run.json") and "checkpoints" not in path.parts
        }

    ours_files, their_files = files(case), files(expected)
    found += [
        f"file: {n}"
        for n in sorted(ours_files.keys() | their_files.keys())
        if ours_files.get(n) != their_files.get(n)
    ]
    return found


def kill_many(
    kills: int, seed: int, tell: Callable[[str], object] = print, root: Path | None = None
) -> Report:
    """Kill trainings until there were so many kills, and check after each.

    Args:
        kills: How many.
        seed: Of the moments.
        tell: Gets a line for each kill.
        root: Where to work; by default a temporary folder.
    """
    _import_everything()
    started = time.monotonic()
    rng = random.Random(seed)
    report = Report()
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        bench = Bench(Path(temporary))
        with bench.serving() as url:
            expected = bench.new_case("expected", url)
            begun = time.monotonic()
            code, phases = expected.train()
            duration = time.monotonic() - begun
            if code:
                raise RuntimeError(expected.output())
            steps = Counter(phases)
            tell(f"An uninterrupted training takes {duration:.1f} s; its steps: {dict(steps)}")
            older = bench.new_case("older", url)
            code, _ = older.train("--seed", "7", "--epochs", "5")
            if code:
                raise RuntimeError(older.output())
            number = 0
            while report.kills < kills:
                number += 1
                case = bench.new_case(f"case{number}", url)
                _kill_one_training(case, older, expected, kills, rng, steps, duration, report, tell)
    report.seconds = time.monotonic() - started
    return report


def _kill_one_training(
    case: Case,
    older: Case,
    expected: Case,
    kills: int,
    rng: random.Random,
    steps: Counter[str],
    duration: float,
    report: Report,
    tell: Callable[[str], object],
) -> None:
    name = case.folder.name
    # What an older run with another seed left: none of it may get into the new one, and its archive must stay whole.
    shutil.copy(older.archive, case.archive)
    shutil.copytree(older.log_dir, case.log_dir)
    old = [case.archive.read_bytes()]
    arguments: tuple[str, ...] = ()
    for _ in range(4):
        moment: dict[str, Any] = {}
        if report.kills < kills and rng.random() < 0.75:
            phase = rng.choice(sorted(steps))
            moment["kill_step"] = (phase, rng.randrange(steps[phase]))
        elif report.kills < kills:
            moment["kill_after"] = rng.uniform(0.1, duration)
        code, phases = case.train(*arguments, **moment)
        if code != -signal.SIGKILL:
            break
        phase = phases[-1] if phases else "load"
        report.kills += 1
        report.phases[phase] += 1
        tell(f"kill {report.kills}: {name}, {phase}, {moment}")
        report.problems += [f"{name}, {moment}, {phase}: half-written {bad}" for bad in half_written(case)]
        if phase not in ("archiving", "quantizing", "evaluating") and case.archive.read_bytes() not in old:
            report.problems.append(f"{name}, {moment}, {phase}: the old archive changed")
        # One that was killed before it began is not to be resumed, but started again.
        arguments = ("--resume",) if case.run() != older.run() else ()
        old.append(case.archive.read_bytes())
    else:
        code, _ = case.train(*arguments)
    if code:
        report.problems.append(f"{name}: ended with {code}: {case.output()[-800:]}")
        return
    report.ended += 1
    report.problems += [f"{name}: other {what}" for what in differences(case, expected)]
    report.problems += [f"{name}: left {what}" for what in left_over(case)]
    shutil.rmtree(case.folder)


def _import_everything() -> None:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import matplotlib.figure  # noqa: F401
    import requests  # noqa: F401
    import sklearn.metrics  # noqa: F401

    import mltk.operations.training.train  # noqa: F401
    from mltk.keras.environment import import_tensorflow

    import_tensorflow()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    report = kill_many(arguments.kills, arguments.seed, partial(print, flush=True))
    print(f"{report.kills} kills in {report.seconds:.0f} s: {dict(report.phases.most_common())}")
    print(f"{report.ended} trainings ended after them, equal to one that was never killed.")
    for problem in report.problems:
        print(f"PROBLEM {problem}")
    sys.exit(bool(report.problems))


if __name__ == "__main__":
    main()
