"""The image data sets, downloaded from a server on this machine where they are not embedded."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mltk.data.listing import list_dataset_directory
from mltk.errors import DatasetError, DownloadError
from mltk_plugin_image import datasets
from mltk_plugin_image.datasets import (
    cifar10,
    digits,
    fashion_mnist,
    mnist,
    rock_paper_scissors_v1,
    rock_paper_scissors_v2,
)
from mltk_plugin_image.datasets._arrays import Downloads, fetch, read_idx


class Mirror:
    """A folder that is served, and what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []

    def add(self, path: str, content: bytes, algorithm: str = "md5") -> str:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return hashlib.new(algorithm, content).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    (tmp_path / "web").mkdir()
    served = Mirror(tmp_path / "web")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            served.requests.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served.folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MLTK_DATASET_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


def pictures(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture
def small_idx(request: pytest.FixtureRequest, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small data set in the format of MNIST in place of the module's own."""
    module: ModuleType = request.param
    arrays = (
        pictures(20, 28, 28),
        np.arange(20, dtype=np.uint8) % 10,
        pictures(10, 28, 28),
        np.arange(10, dtype=np.uint8),
    )
    name = module.__name__.rpartition(".")[2]
    checksums = {
        file: mirror.add(f"{name}/{file}", idx(array))
        for file, array in zip(module.CHECKSUMS, arrays, strict=True)
    }
    monkeypatch.setattr(module, "CHECKSUMS", checksums)
    return module, arrays, mirror


def test_every_data_set_says_its_classes_shape_source_license_and_size() -> None:
    assert sorted(datasets.__all__) == datasets.__all__
    for name in datasets.__all__:
        module = getattr(datasets, name)
        assert len(set(module.CLASSES)) == len(module.CLASSES) > 2
        assert len(module.INPUT_SHAPE) in (2, 3)
        assert callable(module.load_data)
        for word in ("Source:", "License:", "Size:"):
            assert word in module.__doc__


def test_importing_a_data_set_loads_no_picture_library() -> None:
    code = "import sys; from mltk_plugin_image.datasets import digits, mnist; print('PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_digits_are_balanced_and_those_of_opencv() -> None:
    for x, y in digits.load_data():
        assert (x.shape, x.dtype) == ((2500, *digits.INPUT_SHAPE), np.uint8)
        assert (y.shape, y.dtype) == ((2500,), np.uint8)
        assert np.bincount(y).tolist() == [250] * 10
    pixels = hashlib.sha256(b"".join(x.tobytes() for x, _ in digits.load_data())).hexdigest()
    assert pixels == "c6b5d00dd2c64499ae124e3b17bff32af6e1c2a52f1036034fc2bf9a0200ce67"


def test_digits_reach_the_published_figure_with_nearest_neighbours() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    a, b = (x.reshape(2500, -1).astype(np.float32) for x in (x_test, x_train))
    distance = (b**2).sum(1) - 2 * a @ b.T
    nearest = y_train[np.argpartition(distance, 5, axis=1)[:, :5]]
    predicted = [np.bincount(votes).argmax() for votes in nearest]
    assert np.mean(predicted == y_test) > 0.91


def test_digits_as_folders_are_the_same_pictures_with_the_test_half_first(cache: Path) -> None:
    folder = digits.load_data_directory()
    assert folder == (cache / "datasets/digits").as_posix()
    paths, ids = list_dataset_directory(folder, digits.CLASSES, white_list_formats=["png"], split=(0, 0.5))
    _, (x_test, y_test) = digits.load_data()
    assert ids == y_test.tolist()
    read = np.stack([np.asarray(Image.open(Path(folder, str(path)))) for path in paths])
    assert np.array_equal(read, x_test[..., 0])


def test_folders_are_written_once_and_never_over_other_files(cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    digits.load_data_directory(target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    digits.load_data_directory(target)
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(DatasetError, match="has other files in it"):
        digits.load_data_directory(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("small_idx", [mnist, fashion_mnist], indirect=True)
def test_idx_data_sets_are_downloaded_once_and_read(small_idx: Any) -> None:
    module, arrays, mirror = small_idx
    for _ in range(2):
        (x_train, y_train), (x_test, y_test) = module.load_data()
        assert all(map(np.array_equal, (x_train, y_train, x_test, y_test), arrays))
    assert len(mirror.requests) == 4
    folder = Path(module.load_data_directory())
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(module.CLASSES)
    assert [path.name for path in sorted(folder.glob(f"{module.CLASSES[3]}/*"))] == [
        "test-03.png",
        "train-03.png",
        "train-13.png",
    ]
    assert np.array_equal(np.asarray(Image.open(folder / module.CLASSES[3] / "train-13.png")), arrays[0][13])


@pytest.mark.parametrize("small_idx", [mnist, fashion_mnist], indirect=True)
def test_files_go_where_the_arguments_of_silabs_mltk_say(small_idx: Any, tmp_path: Path, cache: Path) -> None:
    module, arrays, mirror = small_idx
    (x_train, _), _ = module.load_data(dest_dir=tmp_path / "here", logger=None)
    assert np.array_equal(x_train, arrays[0])
    assert len(list((tmp_path / "here").glob("*.gz"))) == 4
    module.load_data(dest_dir=tmp_path / "here")
    assert len(mirror.requests) == 4
    module.load_data(dest_dir=tmp_path / "here", clean_dest_dir=True)
    assert len(mirror.requests) == 8
    module.load_data(dest_subdir="datasets/mine")
    assert len(list((cache / "datasets/mine").glob("*.gz"))) == 4
    folder = Path(module.load_data_directory(dest_subdir="pictures"))
    assert folder == cache / "pictures"
    (picture,) = folder.glob(f"{module.CLASSES[3]}/test-03.png")
    picture.unlink()
    module.load_data_directory(dest_subdir="pictures")
    assert not picture.exists()
    module.load_data_directory(dest_subdir="pictures", clean_dest_dir=True)
    assert picture.exists()


@pytest.mark.parametrize("small_idx", [mnist], indirect=True)
def test_changed_file_on_the_server_is_refused(small_idx: Any) -> None:
    module, _, mirror = small_idx
    mirror.add("mnist/t10k-labels-idx1-ubyte.gz", b"something else")
    with pytest.raises(DownloadError, match="was expected"):
        module.load_data()


def test_all_sources_are_tried(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    server = os.environ["MLTK_DATASET_MIRROR"]
    monkeypatch.delenv("MLTK_DATASET_MIRROR")
    digest = mirror.add("second/a.gz", b"x")
    assert (
        fetch(Downloads("x"), "a.gz", [f"{server}/first", f"{server}/second"], digest)
    ).read_bytes() == b"x"
    with pytest.raises(DownloadError, match=r"first/b\.gz.*404.*second/b\.gz.*404"):
        fetch(Downloads("x"), "b.gz", [f"{server}/first", f"{server}/second"], digest)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "cannot be read"),
        (gzip.compress(b"\0\0\x0d\1\0\0\0\1\0"), "not an IDX file"),
        (idx(np.zeros(9, np.uint8))[:-9], "cannot be read"),
        (gzip.compress(b"\0\0\x08\1\0\0\0\x05ab"), "does not have the 5 values"),
        (gzip.compress(b"\0\0\x08\3" + b"\xff" * 12), "does not have the"),
    ],
    ids=["text", "other type", "cut", "short", "huge"],
)
def test_damaged_idx_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"a\.gz'.*{message}"):
        read_idx(tmp_path / "a.gz")


def cifar_archive(labels: int = 10, size: int = 3073) -> tuple[bytes, np.ndarray]:
    records = pictures(12, size)
    records[:, 0] = np.arange(12) % labels
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            part = records[2 * i : 2 * i + 2].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(part)
            archive.addfile(info, io.BytesIO(part))
    return buffer.getvalue(), records


def test_cifar10_is_read_from_its_binary_version(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    content, records = cifar_archive()
    monkeypatch.setattr(cifar10, "CHECKSUM", mirror.add("cifar10/cifar-10-binary.tar.gz", content, "sha256"))
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert (x_train.shape, x_test.shape) == ((10, 32, 32, 3), (2, 32, 32, 3))
    assert y_train.tolist() == [[i] for i in range(10)]
    assert y_test.tolist() == [[0], [1]]
    assert x_train[7, 3, 5].tolist() == [records[7, 1 + c * 1024 + 3 * 32 + 5] for c in range(3)]
    folder = cifar10.load_data_directory()
    assert np.array_equal(np.asarray(Image.open(f"{folder}/automobile/test-1.png")), x_test[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cifar_archive(size=3000)[0], "incomplete images"),
        (cifar_archive(labels=11)[0], "class id of 10 or more"),
        (gzip.compress(bytes(10240)), "lacks '.*data_batch_1.bin'"),
        (b"text", "cannot be read"),
    ],
    ids=["size", "label", "missing", "text"],
)
def test_other_cifar10_archives_are_refused(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setattr(cifar10, "CHECKSUM", mirror.add("cifar10/cifar-10-binary.tar.gz", content, "sha256"))
    with pytest.raises(DatasetError, match=message):
        cifar10.load_data()


@pytest.mark.parametrize("module", [rock_paper_scissors_v1, rock_paper_scissors_v2])
@pytest.mark.parametrize("folder_name", ["scissor", "scissors"])
def test_rock_paper_scissors_answers_to_both_spellings(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: Any, folder_name: str
) -> None:
    py7zr = pytest.importorskip("py7zr")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for label in ("rock", "paper", folder_name, "_unknown_"):
            archive.writestr("", f"dataset/{label}/1.png")
    name = module.DOWNLOAD_URL.rpartition("/")[2]
    monkeypatch.setattr(
        module, "CHECKSUM", mirror.add(f"rock_paper_scissors/{name}", path.read_bytes(), "sha256")
    )
    folder = module.load_data(logger=None, clean_dest_dir=False)
    for classes in (module.CLASSES, ["rock", "paper", "scissors"]):
        paths, ids = list_dataset_directory(
            folder,
            classes,
            list_valid_filenames_in_directory_function=module.list_valid_filenames_in_directory,
        )
        assert ids == list(range(len(classes)))
        assert paths[2] == f"{folder_name}/1.png"
    with pytest.raises(DatasetError, match="no folder for class 'well'"):
        list_dataset_directory(
            folder,
            ["well"],
            list_valid_filenames_in_directory_function=module.list_valid_filenames_in_directory,
        )
