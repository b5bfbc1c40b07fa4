"""`mltk tfdata-service`."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

import click

from mltk.errors import MltkError


@click.group("tfdata-service")
def tfdata_service_command() -> None:
    """Prepare the batches of trainings on other machines, with TensorFlow's tf.data service.

    Start one dispatcher and any number of workers, then set my_model.tf_data_service = 'grpc://HOST:PORT'.

    Whoever reaches their ports can have any TensorFlow graph run, which can read and write files:
    use them in a network that you trust.
    """


@tfdata_service_command.command("dispatcher")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5050, show_default=True, help="0: any free one."
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Keep the state there, so that a dispatcher that is started again goes on.",
)
def dispatcher_command(port: int, work_dir: str | None) -> None:
    """Start the process that hands out the work; it ends with Ctrl-C or SIGTERM."""
    service = _service()
    _check_free(port)
    config = service.DispatcherConfig(
        port=port,
        protocol="grpc",
        work_dir=work_dir,
        fault_tolerant_mode=work_dir is not None,
    )
    _serve(service.DispatchServer(config), "dispatcher")


@tfdata_service_command.command("worker")
@click.option("--dispatcher", required=True, metavar="HOST:PORT", help="Where the dispatcher listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free one.")
@click.option(
    "--host",
    metavar="NAME",
    help="Name under which trainers reach this machine; by default localhost for a dispatcher on localhost, else the "
    "machine's own name.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Seconds to wait for the dispatcher.",
)
def worker_command(dispatcher: str, port: int, host: str | None, timeout: int) -> None:
    """Start a process that prepares batches; it ends with Ctrl-C or SIGTERM."""
    from mltk_plugin_tfdata.service import connect, parse_address

    address = dispatcher if "://" in dispatcher else f"grpc://{dispatcher}"
    dispatcher_host, dispatcher_port = parse_address(address)
    connect(address, timeout)
    service = _service()
    _check_free(port)
    if host is None:
        host = "localhost" if dispatcher_host in ("localhost", "127.0.0.1", "::1") else socket.getfqdn()
    config = service.WorkerConfig(
        dispatcher_address=f"{dispatcher_host}:{dispatcher_port}",
        worker_address=f"{host}:{port or '%port%'}",
        port=port,
        protocol="grpc",
        dispatcher_timeout_ms=timeout * 1000,
    )
    _serve(service.WorkerServer(config), "worker")


def _service() -> Any:
    from mltk.keras.environment import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    # Workers give the bits that the trainer would.
    tf.config.experimental.enable_op_determinism()
    return tf.data.experimental.service


def _serve(server: Any, kind: str) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    where = server.target if kind == "dispatcher" else f"grpc://{server._address}"
    # To stdout and at once: programs that start it read the port here.
    click.echo(f"tf.data {kind} at {where}")
    while not ended.wait(1.0):
        pass


def _check_free(port: int) -> None:
    """TensorFlow ends the process when the port is taken."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as e:
            raise MltkError(f"Port {port} cannot be used: {e.strerror}. Choose another with --port.") from e
