"""The one place that decides how TensorFlow is loaded."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from mltk.errors import MltkError
from mltk.utils.threads import worker_count

LEGACY_KERAS_VARIABLE = "TF_USE_LEGACY_KERAS"
"""Environment variable with which TensorFlow takes Keras 2."""


def prepare_environment() -> None:
    """Set what must be set before TensorFlow is first imported; call before code that may import it.

    TensorFlow's start-up chatter is silenced unless the user set `TF_CPP_MIN_LOG_LEVEL`.

    Raises:
        MltkError: `TF_USE_LEGACY_KERAS` asks for Keras 2, which mltk does not work with.
    """
    if os.environ.get(LEGACY_KERAS_VARIABLE, "").lower() in ("1", "true"):
        raise MltkError(
            f"{LEGACY_KERAS_VARIABLE} is set, but mltk works with Keras 3. Unset it: unset {LEGACY_KERAS_VARIABLE}"
        )
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise MltkError(
            f"KERAS_BACKEND is '{backend}', but mltk works with TensorFlow. Unset it: unset KERAS_BACKEND"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def import_tensorflow() -> None:
    """Import TensorFlow and Keras without the lines that their native code writes to stderr at start-up.

    Raises:
        MltkError: A file of the user has the name of one of them.
    """
    prepare_environment()
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return
    for name in ("keras", "tensorflow"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is None:
            raise MltkError(f"{spec.origin} hides the package '{name}'. Rename the file.")
    with native_stderr():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def native_stderr() -> Iterator[Callable[[], str]]:
    """Collect what native code writes to the process's stderr; show it only when the block raises.

    Yields:
        A function that returns what was written so far.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:

        def written() -> str:
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield written
        except BaseException:
            os.dup2(saved, 2)
            os.write(2, written().encode())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def seed_everything(seed: int, deterministic: bool = True) -> None:
    """Seed Python, NumPy and TensorFlow, and choose deterministic kernels.

    Args:
        seed: 0 to 2³² - 1.
        deterministic: Make TensorFlow's kernels give the same bits on each run.
    """
    import_tensorflow()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def thread_count() -> int:
    """Return the number of threads that TensorFlow divides an operation among.

    The order in which a kernel adds numbers depends on it, and so do the last bits of the results.
    """
    import tensorflow as tf

    configured = tf.config.threading.get_intra_op_parallelism_threads()
    # TensorFlow reads the variable when nothing is configured.
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return configured or (int(variable) if variable.isdecimal() else 0) or worker_count(1.0)


def use_threads(count: int) -> None:
    """Let TensorFlow divide an operation among so many threads, if it has not run any operation yet."""
    import_tensorflow()
    import tensorflow as tf

    # It has: then the number stays what it is.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(count)
