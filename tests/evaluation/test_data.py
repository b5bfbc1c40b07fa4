"""Every form in which the data of an evaluation may come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mltk.data.loader import BatchIterator
from mltk.data.samples import iterate_batches, load_arrays
from mltk.errors import DatasetError, EvaluationError
from mltk.utils.trees import leaves_of

X = np.arange(70, dtype=np.float32).reshape(35, 2)
Y = np.arange(35) % 5


class Source:
    """Batches of 10, the last one smaller."""

    def __len__(self) -> int:
        return 4

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        part = slice(index * 10, index * 10 + 10)
        return X[part], Y[part], np.ones(len(Y[part]))


class Sequence:
    """As a Keras 2 sequence: iterating over it never ends."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return Source().batch(0, index)[:2]

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self[0]


def tensorflow_data() -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(10)


def keras_data() -> Any:
    keras = pytest.importorskip("keras")

    class Data(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
            return Source().batch(0, index)

    return Data()


FORMS: dict[str, Any] = {
    "arrays": lambda: {"x": X, "y": Y},
    "lists": lambda: {"x": X.tolist(), "y": Y.tolist()},
    "pair": lambda: {"x": (X, Y)},
    "triple": lambda: {"x": (X, Y, np.ones(35))},
    "batch iterator": lambda: {"x": BatchIterator(Source(), workers=2)},
    "sequence": lambda: {"x": Sequence()},
    "generator": lambda: {"x": (Source().batch(0, i) for i in range(4))},
    "list batches": lambda: {"x": (list(Source().batch(0, i)) for i in range(4))},
    "tf.data": lambda: {"x": tensorflow_data()},
    "keras": lambda: {"x": keras_data()},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_each_sample_once_without_weights(form: str) -> None:
    batches = list(iterate_batches(**FORMS[form](), batch_size=10))
    assert [len(x) for x, _ in batches] == [10, 10, 10, 5]
    assert np.array_equal(np.concatenate([x for x, _ in batches]), X)
    assert np.array_equal(np.concatenate([y for _, y in batches]), Y)
    assert all(type(x) is type(y) is np.ndarray for x, y in batches)


@pytest.mark.parametrize(
    ("x", "y"),
    [([X, 2 * X], {"id": Y}), ({"a": X, "b": 2 * X}, Y), (iter([({"a": X, "b": 2 * X}, Y)]), None)],
    ids=["lists", "dictionaries", "batches"],
)
def test_several_inputs_and_outputs_keep_their_form(x: Any, y: Any) -> None:
    batches = list(iterate_batches(x, y, batch_size=20))
    first, second = (np.concatenate([leaves_of(x)[i] for x, _ in batches]) for i in (0, 1))
    assert np.array_equal(first, X)
    assert np.array_equal(second, 2 * X)
    assert np.array_equal(np.concatenate([leaves_of(y)[0] for _, y in batches]), Y)


@pytest.mark.parametrize("x", [X, (X,), (X, None)], ids=["array", "single", "none"])
def test_labels_may_be_missing(x: Any) -> None:
    assert all(y is None for _, y in iterate_batches(x))


def test_steps_limit_the_batches_and_no_more_are_made() -> None:
    made = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            made.append(1)
            yield X

    assert len(list(iterate_batches(endless(), steps=3))) == 3
    assert len(made) == 3
    assert len(list(iterate_batches(X, Y, steps=2, batch_size=10))) == 2


def test_a_data_set_without_end_needs_steps() -> None:
    data = tensorflow_data().repeat()
    with pytest.raises(EvaluationError, match="without an end"):
        list(iterate_batches(data))
    assert len(list(iterate_batches(data, steps=6))) == 6


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:-1], "34 labels for 35 samples"),
        (Sequence(), Y, "must be \\(x, y\\)"),
        (3, None, "A int is not supported"),
        ((X, Y, Y, Y), None, "got a tuple of 4"),
        ({"a": X, "b": X[1:]}, Y, r"34 rows of x\['b'\] for 35 samples"),
    ],
)
def test_other_forms_are_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        list(iterate_batches(x, y))


@pytest.mark.parametrize("keys", [("x", "y"), ("x_test", "y_test")])
def test_arrays_are_read_under_both_names(tmp_path: Path, keys: tuple[str, str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (X, Y), strict=True)), other=np.zeros(3))
    x, y = load_arrays(tmp_path / "a.npz")
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)  # type: ignore[arg-type]


def test_arrays_without_labels_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X)
    assert load_arrays(tmp_path / "a.npz")[1] is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": X, "labels": Y},
            r"must have the arrays 'x'.*It has: 'images' \(35, 2\), 'labels' \(35,\)",
        ),
        ({}, "It has: none"),
        ({"x": X, "y": Y[1:]}, r"35 samples but labels of the shape \(34,\)"),
        ({"x": Y[0]}, "first axis must be the sample"),
        ({"x": np.array([{}], object)}, "cannot be read as a .npz file of plain arrays"),
    ],
    ids=["names", "empty", "length", "flat", "objects"],
)
def test_wrong_arrays_are_one_clear_line(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=message) as error:
        load_arrays(tmp_path / "a.npz")
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        load_arrays(tmp_path / "none.npz")
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DatasetError, match="single array"):
        load_arrays(tmp_path / "a.npy")
    for content in (b"", b"text", b"PK\x03\x04cut"):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(DatasetError, match="cannot be read"):
            load_arrays(tmp_path / "b.npz")
