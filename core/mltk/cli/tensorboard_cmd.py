"""`mltk tensorboard`."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click

from mltk.cli import get_logger
from mltk.cli._model_options import model_argument, require_model, verbose_option
from mltk.errors import MltkError, ModelNotFoundError

DEFAULT_PORT = 6002


@click.command("tensorboard")
@model_argument
@click.option("-h", "--host", metavar="NAME", default="localhost", show_default=True, help="Serve it here.")
@click.option(
    "-p",
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"At this port; by default {DEFAULT_PORT}, or the next free one.",
)
@click.option("--launch/--no-launch", default=True, help="Open it in the browser (default).")
@verbose_option
def tensorboard_command(model: str, host: str, port: int | None, launch: bool, verbose: bool) -> None:
    """Show the course of the training of MODEL in TensorBoard until Ctrl-C: a name or a specification.

    The training, running or done, must have my_model.tensorboard set.
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    folder = _log_folder(model)
    if not folder.is_dir():
        raise ModelNotFoundError(
            f"There is no folder {folder}. Set my_model.tensorboard in the specification, e.g. "
            f"my_model.tensorboard['histogram_freq'] = 1, then train: mltk train {model}"
        )
    url = _start(folder, host, range(DEFAULT_PORT, DEFAULT_PORT + 10) if port is None else [port])
    try:
        logger.info(f"{folder} is shown at {url} (Ctrl-C stops)")
        if launch:
            webbrowser.open(url)
        threading.Event().wait()
    except KeyboardInterrupt:
        # The way to stop it.
        return


def _log_folder(model: str) -> Path:
    """Return where the training writes; a specification is only run when it says so itself."""
    # It imports NumPy.
    from mltk.sources.search import read_script
    from mltk.sources.source import ModelSource, SourceKind

    source = ModelSource.of(model)
    is_script = source.kind is SourceKind.SPECIFICATION and source.path is not None
    if is_script and source.path and b"log_dir" in read_script(source.path):
        log_dir = Path(source.specification().log_dir)
    else:
        log_dir = source.default_log_dir
    return log_dir / "train" / "tensorboard"


def _start(folder: Path, host: str, ports: Sequence[int]) -> str:
    """Start TensorBoard in threads of this process, at the first port that is free, and return its address."""
    try:
        from tensorboard import default, program
    except ImportError as e:
        raise MltkError(
            "TensorBoard must be installed for this. Install it with: pip install 'mltk-core[tensorboard]'"
        ) from e
    board = program.TensorBoard(plugins=default.get_plugins())
    for port in ports:
        board.configure(logdir=str(folder), host=host, port=port)
        try:
            return str(board.launch())
        except program.TensorBoardServerException as e:
            if isinstance(e, program.TensorBoardPortInUseError) and port != ports[-1]:
                continue
            raise MltkError(
                f"TensorBoard cannot be served at {host}, port {port}: {e.msg} Choose another with --port."
            ) from e
    raise AssertionError("there is at least one port")
