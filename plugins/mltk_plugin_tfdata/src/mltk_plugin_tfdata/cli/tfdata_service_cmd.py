"""The command `mltk tfdata-service`."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Protocol

import click

from mltk.errors import MltkError

if TYPE_CHECKING:
    from types import ModuleType


class _Server(Protocol):
    """Common interface of `DispatchServer` and `WorkerServer`."""

    _address: str
    target: str


@click.group("tfdata-service")
def tfdata_service_command() -> None:
    """Prepare training batches on other machines with the tf.data service of TensorFlow.

    Start one dispatcher and any number of workers, then set my_model.tf_data_service = 'grpc://HOST:PORT'.

    Anyone who can reach their ports can run any TensorFlow graph, which can read and write files:
    use them only in a network that you trust.
    """


@tfdata_service_command.command("dispatcher")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5050,
    show_default=True,
    help="Port to listen on; 0 selects a free port.",
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Keep the state in this folder, so that a restarted dispatcher can continue.",
)
def dispatcher_command(port: int, work_dir: str | None) -> None:
    """Start the process that distributes the work. End it with Ctrl-C or SIGTERM."""
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
@click.option("--dispatcher", required=True, metavar="HOST:PORT", help="Address of the dispatcher.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on; 0 selects a free port.",
)
@click.option(
    "--host",
    metavar="NAME",
    help="Name of this machine for trainers; by default localhost if the dispatcher is local, or the host name.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Seconds to wait for the dispatcher.",
)
def worker_command(dispatcher: str, port: int, host: str | None, timeout: int) -> None:
    """Start a process that prepares batches. End it with Ctrl-C or SIGTERM."""
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


def _service() -> ModuleType:
    from mltk.keras import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    # Workers must compute the same bits as the trainer.
    tf.config.experimental.enable_op_determinism()
    service: ModuleType = tf.data.experimental.service
    return service


def _serve(server: _Server, kind: str) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    where = server.target if kind == "dispatcher" else f"grpc://{server._address}"
    # Other programs read the port from this line.
    click.echo(f"tf.data {kind} at {where}")
    while not ended.wait(1.0):
        pass


def _check_free(port: int) -> None:
    """Check that a port is free: TensorFlow would abort the process."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as e:
            raise MltkError(f"Port {port} cannot be used: {e.strerror}. Choose another with --port.") from e
