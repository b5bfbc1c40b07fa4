"""`mltk view` and `mltk tensorboard`: pages for the browser, on loopback."""

import http.client
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from contextlib import contextmanager
from pathlib import Path

import pytest

from mltk.core import TfliteModel, view_model
from mltk.errors import (
    ArchiveFileNotFoundError,
    MltkError,
    ModelNotFoundError,
    SpecificationError,
    TrustError,
)
from mltk.testing.pytest_plugin import MltkCli
from mltk.utils.model_archive import ModelArchive

pytest.importorskip("netron")

# `mltk.core.view_model` is the function.
view_module = sys.modules[view_model.__module__]
CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read(), answer.headers


@pytest.fixture
def visit(monkeypatch):
    """Stands in for the browser: `visit(function)` is called with the address, while the page is served."""

    @contextmanager
    def visit():
        seen = {}

        def browser(url):
            page, headers = get(url)
            seen.update(url=url, page=page.decode(), headers=headers)
            address = re.search(r'<meta name="file" content="([^"]*)">', seen["page"])[1]
            seen["name"] = re.search(r'<meta name="identifier" content="([^"]*)">', seen["page"])[1]
            seen["model"] = get(url + address)[0]
            for path in seen.get("more", ()):
                try:
                    seen[path] = len(get(url.rstrip("/") + path)[0])
                except urllib.error.HTTPError as e:
                    seen[path] = e.code

        monkeypatch.setattr(webbrowser, "open", browser)
        yield seen

    return visit


def test_the_signature_begins_as_the_references():
    parameters = inspect.signature(view_model).parameters
    assert {n: p.default for n, p in list(parameters.items())[1:7]} == {
        "host": None,
        "port": None,
        "test": False,
        "build": False,
        "tflite": False,
        "timeout": 7.0,
    }


def test_the_page_shows_the_model_and_nothing_else(visit):
    Path("m.tflite").write_bytes(CONV.read_bytes())
    Path("secret.json").write_text("{}")
    with visit() as seen:
        seen["more"] = (
            "/view.js",
            "/secret.json",
            "/data/secret.json",
            "/server.py",
            "/..%2fsecret.json",
            "/data/",
        )
        view_model("m.tflite", timeout=0.01)
    assert seen["model"] == CONV.read_bytes()
    assert seen["name"] == "m.tflite"
    assert seen["/view.js"] > 100_000
    assert {path: seen[path] for path in seen["more"][1:]} == dict.fromkeys(seen["more"][1:], 404)
    with pytest.raises(urllib.error.URLError):
        get(seen["url"])


def test_the_page_may_speak_to_nobody_else_and_has_nothing_to_ask(visit):
    with visit() as seen:
        view_model(CONV, timeout=0.01)
    policy = dict(part.split(" ", 1) for part in seen["headers"]["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self' data: blob:"
    assert not re.search(r"https?:", " ".join(policy.values()))
    # The page reports usage only in released versions, and asks whether it may only without this cookie.
    assert re.findall(r'<meta name="version" content="(.*)">', seen["page"]) == ["0.0.0"]
    assert seen["headers"]["Set-Cookie"].startswith("consent=1;")


def test_the_address_is_a_secret_and_names_of_other_sites_are_refused(monkeypatch):
    statuses = {}

    def browser(url):
        parts = urllib.parse.urlsplit(url)
        data = f"{parts.path}data/conv_int8.tflite"
        own = f"localhost:{parts.port}"
        for host, path in (
            (own, "/"),
            (own, "/view.js"),
            (own, "/data/conv_int8.tflite"),
            (own, data),
            (f"LOCALHOST:{parts.port}", data),
            (f"127.0.0.1:{parts.port}", data),
            (f"[::1]:{parts.port}", data),
            (f"evil.example:{parts.port}", data),
            (f"localhost.evil.example:{parts.port}", data),
            ("[", data),
            (None, data),
        ):
            connection = http.client.HTTPConnection("localhost", parts.port, timeout=20)
            connection.putrequest("GET", path, skip_host=True)
            if host is not None:
                connection.putheader("Host", host)
            connection.endheaders()
            statuses[host and host.partition(f":{parts.port}")[0], path.rpartition("/")[2], path == data] = (
                connection.getresponse().status
            )
            connection.close()

    monkeypatch.setattr(webbrowser, "open", browser)
    view_model(CONV, timeout=0.01)
    model = ("conv_int8.tflite", True)
    assert statuses == {
        ("localhost", "", False): 404,
        ("localhost", "view.js", False): 404,
        ("localhost", "conv_int8.tflite", False): 404,
        ("localhost", *model): 200,
        ("LOCALHOST", *model): 200,
        ("127.0.0.1", *model): 200,
        ("[::1]", *model): 200,
        ("evil.example", *model): 403,
        ("localhost.evil.example", *model): 403,
        ("[", *model): 403,
        (None, *model): 403,
    }


def test_a_name_cannot_put_code_into_the_page(visit):
    path = Path('"><script>alert(1)<!--.tflite')
    path = path.with_name(path.name.replace("/", ""))
    path.write_bytes(CONV.read_bytes())
    with visit() as seen:
        view_model(path, timeout=0.01)
    assert "<script>alert" not in seen["page"]
    assert seen["model"] == CONV.read_bytes()


def test_a_model_in_memory_is_shown_as_it_is(visit):
    model = TfliteModel(CONV.read_bytes(), path="mine.tflite")
    model.add_metadata("X", b"x")
    with visit() as seen:
        view_model(model, timeout=0.01)
    assert (seen["name"], seen["model"]) == ("mine.tflite", model.flatbuffer_data)


def test_an_archive_is_shown_without_running_its_specification(visit, trained):
    archive = ModelArchive("tiny_v1.mltk.zip")
    archive.update({"tiny_v1.py": b"raise SystemExit('ran')"})
    Path("tiny_v1.py").unlink()
    for model, tflite, member in (
        ("tiny_v1.mltk.zip", False, "tiny_v1.keras"),
        ("tiny_v1", True, "tiny_v1.tflite"),
    ):
        with visit() as seen:
            view_model(model, tflite=tflite, timeout=0.01)
        assert (seen["name"], seen["model"]) == (member, archive.read(member))
    with pytest.raises(TrustError, match="would run the Python code"):
        view_model("tiny_v1.mltk.zip", build=True)
    archive.update({}, remove=["tiny_v1.keras"])
    with visit() as seen:
        view_model("tiny_v1", timeout=0.01)
    assert seen["name"] == "tiny_v1.h5"


def test_an_untrained_model_is_shown_as_it_is_built(visit, write_spec):
    write_spec()
    with pytest.raises(
        ArchiveFileNotFoundError, match=r"Train the model first: mltk train tiny_v1 Or .* --build"
    ):
        view_model("tiny_v1")
    with visit() as seen:
        view_model("tiny_v1", build=True, timeout=0.01)
    assert (seen["name"], seen["model"][:2]) == ("tiny_v1.keras", b"PK")


def test_what_cannot_be_shown_is_one_line(monkeypatch):
    with pytest.raises(ModelNotFoundError, match=r"no file no\.h5"):
        view_model("no.h5")
    with pytest.raises(SpecificationError, match="cannot be built"):
        view_model(CONV, build=True)
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        with pytest.raises(MltkError, match=r"of localhost cannot be served at: .*--port"):
            view_model(CONV, port=taken.getsockname()[1])
    with pytest.raises(MltkError, match="The host 'no host' cannot be served at"):
        view_model(CONV, host="no host")
    monkeypatch.setattr(view_module, "find_spec", lambda name: None)
    with pytest.raises(MltkError, match=r"pip install 'mltk-core\[view\]'"):
        view_model(CONV)


def test_a_start_page_of_another_kind_is_refused(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("<html>something new</html>")
    monkeypatch.setattr(view_module, "_netron_folder", lambda: tmp_path)
    with pytest.raises(MltkError, match=r"Netron [\d.]+ has a start page that mltk does not know"):
        view_model(CONV)


def test_without_a_port_a_free_one_is_found(visit, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        monkeypatch.setattr(view_module, "DEFAULT_PORT", taken.getsockname()[1])
        with visit() as seen:
            view_model(CONV, timeout=0.01)
    assert seen["model"] == CONV.read_bytes()


@contextmanager
def running(*args):
    """Run a command as a process; give its first line on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "mltk", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, children would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            process.kill()
            watchdog.cancel()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_view_runs_until_ctrl_c():
    with running("view", CONV, "--no-browser", "-p", 0) as process:
        line = process.stderr.readline()
        url = re.search(r"http://localhost:\d+/\S+", line)[0]
        assert line.startswith("conv_int8.tflite is shown at")
        assert b"Netron" in get(url)[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_h_is_the_host_and_help_is_help(mltk_cli):
    for command in ("view", "tensorboard"):
        shown = mltk_cli.invoke([command, "--help"]).stdout
        assert "-h, --host" in shown and "-p, --port" in shown


# TensorBoard


def test_tensorboard_without_logs_says_how_to_make_them(mltk_cli, write_spec):
    write_spec()
    result = mltk_cli.invoke(["tensorboard", "tiny_v1"])
    assert result.exit_code == 1
    folder = mltk_cli.home / ".mltk" / "models" / "tiny_v1" / "train" / "tensorboard"
    assert f"There is no folder {folder}. Set my_model.tensorboard" in result.stderr
    assert "mltk train tiny_v1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_tensorboard_looks_where_the_specification_says(mltk_cli, write_spec, tmp_path):
    write_spec(more=f"my_model.log_dir = {str(tmp_path / 'elsewhere')!r}\n")
    for model, folder in (("tiny_v1", "elsewhere"), ("tiny_v1-test", "elsewhere-test")):
        result = mltk_cli.invoke(["tensorboard", model])
        assert f"There is no folder {tmp_path / folder / 'train' / 'tensorboard'}." in result.stderr


@pytest.fixture
def logs(write_spec):
    """A specification whose training has begun to write logs."""
    write_spec()
    folder = Path(os.environ["MLTK_CACHE_DIR"]) / "models" / "tiny_v1" / "train" / "tensorboard"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_tensorboard_is_served_and_opened_until_ctrl_c(logs, monkeypatch, tmp_path):
    pytest.importorskip("tensorboard")
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > {tmp_path / 'opened'}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with running("tensorboard", "tiny_v1", "-p", 0) as process:
        lines = iter(process.stderr.readline, "")
        line = next(line for line in lines if "is shown at" in line)
        url = re.search(r"http://localhost:\d+/", line)[0]
        assert line.startswith(f"{logs} is shown at")
        assert b"TensorBoard" in get(url)[0]
        with running("tensorboard", "tiny_v1", "-p", url.split(":")[2].strip("/"), "--no-launch") as second:
            error = second.communicate()[1]
            assert "mltk: error: TensorBoard cannot be served at localhost" in error
            assert "--port" in error
            assert second.returncode == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (tmp_path / "opened").read_text().strip() == url


@pytest.mark.slow
def test_tensorboard_takes_the_next_port_when_its_own_is_taken(logs):
    pytest.importorskip("tensorboard")

    def served_at(process):
        lines = iter(process.stderr.readline, "")
        line = next(line for line in lines if "is shown at" in line)
        return re.search(r"http://localhost:\d+/\S*", line)[0]

    command = ("tensorboard", "tiny_v1", "--no-launch")
    with running(*command) as first, running(*command) as second:
        # The first one takes 6002, unless somebody else has.
        urls = {served_at(first), served_at(second)}
        assert len(urls) == 2
        for url in urls:
            assert b"TensorBoard" in get(url)[0]


def test_without_tensorboard_the_hint_says_what_to_install(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = MltkCli(Path.cwd()).invoke(["tensorboard", "tiny_v1"])
    assert result.exit_code == 1
    assert "pip install 'mltk-core[tensorboard]'" in result.stderr
