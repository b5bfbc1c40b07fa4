"""The magic wand's recordings, downloaded from a server on this machine."""

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mltk.errors import DatasetError
from mltk_plugin_tfdata.datasets.accelerometer import tflm_magic_wand

PERSONS = ("hyw", "shiyun", "tangsy", "dengyl", "jiangyh", "xunkai", "lsj", "pengxl", "liucx", "zhangxy")


def archive(change=lambda name, text: text) -> bytes:
    rng = np.random.default_rng(0)

    def rows(n):
        return "".join("{:.1f},{:.1f},{:.1f}\n".format(*row) for row in rng.uniform(-900, 900, (n, 3)))

    files = {
        f"{label}/output_{label}_{who}.txt": f" ,,\n-,-,-\n{rows(30)}-,-,-\n{rows(150)}"
        for label in ("wing", "ring", "slope")
        for who in PERSONS
    }
    files |= {f"negative/output_negative_{i}.txt": f"-,-,-\n{rows(250)}" for i in range(1, 6)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            content = change(name, text).encode()
            info = tarfile.TarInfo(f"data/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    root = tmp_path / "www"
    (root / "tflm_magic_wand").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLTK_DATASET_MIRROR", f"http://127.0.0.1:{server.server_port}")

    def serve(content: bytes):
        (root / "tflm_magic_wand" / "data.tar.gz").write_bytes(content)
        monkeypatch.setattr(tflm_magic_wand, "CHECKSUM", hashlib.sha1(content).hexdigest())

    yield serve
    server.shutdown()
    server.server_close()


def test_persons_are_kept_apart_and_training_samples_varied(mirror):
    mirror(archive())
    data = tflm_magic_wand.load_data(seq_length=128)
    # Two recordings of each person and gesture; three pieces of each other recording; made-up motions.
    assert data.valid_len == 2 * 2 * 3 + 3 + 3 * 20
    assert data.test_len == 2 * 2 * 3 + 3 + 3 * 19
    assert data.train_len == 27 * (6 * 2 * 3 + 3 * 3 + 3 * 61)
    assert {
        len(r) for r, label in zip(data.valid_data, data.valid_label, strict=True) if label == "wing"
    } == {30, 150}
    data.format()
    assert len(data.test_data) == data.test_len == 2 * (2 * 2 * 3 + 3 + 3 * 19)
    x, y = next(iter(data.train_data))
    assert (x.shape, x.dtype.name, y.dtype.name) == ((128, 3), "float32", "int32")
    assert {int(y) for _, y in data.valid_data} == {0, 1, 2, 3}


def test_the_same_call_gives_the_same_data_and_nothing_is_written_beside_the_files(mirror, tmp_path):
    mirror(archive())
    arrays = []
    for _ in range(2):
        data = tflm_magic_wand.load_data(seq_length=64, person=False)
        data.format()
        arrays.append(np.stack([x for x, _ in data.valid_data.as_numpy_iterator()]))
    np.testing.assert_array_equal(*arrays)
    assert arrays[0].shape[1:] == (64, 3)
    folder = tmp_path / "cache" / "datasets" / "accelerometer" / "tflm_magic_wand"
    assert sorted(p.name for p in folder.iterdir()) == ["data", "tflm_magic_wand.tar.gz-mltk.json"]


def test_padding_keeps_a_recording_at_one_end(mirror):
    mirror(archive())
    data = tflm_magic_wand.load_data(seq_length=10)
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    before, after = data.pad(values, np.random.default_rng(0))
    np.testing.assert_array_equal(before[6:], values)
    np.testing.assert_array_equal(after[:4], values)
    assert np.abs(before[:6] - values[0]).max() <= 10
    assert np.abs(after[4:] - values[-1]).max() <= 10
    assert len(data.pad(np.zeros((30, 3), np.float32), np.random.default_rng(0))[0]) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda name, text: text + "1,2,x\n" if "ring_hyw" in name else text,
            "Line 184 of '.*ring_hyw.txt' is not an acceler",
        ),
        (
            lambda name, text: text + "1,nan,2\n" if "ring_hyw" in name else text,
            "is not an acceleration: '1,nan,2'",
        ),
    ],
    ids=["text", "nan"],
)
def test_a_damaged_file_is_named_with_its_line(mirror, change, message):
    mirror(archive(change))
    with pytest.raises(DatasetError, match=message):
        tflm_magic_wand.load_data()
