"""Listing, splitting and grouping of the samples of a data set."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.data.listing import (
    list_dataset_directory,
    list_valid_filenames_in_directory,
    shuffle_file_list_by_group,
    split_file_list,
)
from mltk.errors import DatasetError


def make(root: Path, **sizes: int) -> Path:
    for name, size in sizes.items():
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(size):
            (folder / f"{i:04d}.png").touch()
    return root


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make(tmp_path / "data", rock=10, paper=20, scissor=30, cat=40, dog=2)


def test_samples_come_class_by_class_and_sorted_with_the_position_as_id(data: Path) -> None:
    paths, ids = list_dataset_directory(data, ["paper", "rock"])
    assert paths == [f"paper/{i:04d}.png" for i in range(20)] + [f"rock/{i:04d}.png" for i in range(10)]
    assert ids == [0] * 20 + [1] * 10


def test_counts_are_filled_in(data: Path) -> None:
    counts: dict[str, int] = {}
    list_dataset_directory(data, ["paper", "rock"], class_counts=counts, max_samples_per_class=15)
    assert counts == {"paper": 15, "rock": 10}


def test_nested_folders_are_listed_and_hidden_names_are_not(tmp_path: Path) -> None:
    make(tmp_path, **{"a": 1, "a/deep/er": 1, "a/.hidden": 1})
    (tmp_path / "a" / "._0000.png").touch()
    assert list_dataset_directory(tmp_path, ["a"])[0] == ["a/0000.png", "a/deep/er/0000.png"]


def test_a_class_does_not_get_the_files_of_a_class_whose_name_begins_like_it(tmp_path: Path) -> None:
    make(tmp_path, up=1, upward=3)
    assert list_dataset_directory(tmp_path, ["up"])[0] == ["up/0000.png"]


@pytest.mark.parametrize("formats", [["png"], (".PNG",), "png"], ids=["plain", "dot and case", "text"])
def test_formats_are_matched_with_or_without_dot_in_any_case(tmp_path: Path, formats: object) -> None:
    make(tmp_path, a=1)
    for name in ("B.PNG", "c.jpg", "notapng"):
        (tmp_path / "a" / name).touch()
    paths, _ = list_dataset_directory(tmp_path, ["a"], white_list_formats=formats)  # type: ignore[arg-type]
    assert paths == ["a/0000.png", "a/B.PNG"]


def test_links_to_folders_are_followed_only_on_request_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, **{"data/a": 1, "elsewhere": 2})
    (tmp_path / "data/a/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a/loop").symlink_to(tmp_path / "data/a")
    (tmp_path / "data/a/broken.png").symlink_to(tmp_path / "nowhere")
    assert list_dataset_directory(tmp_path / "data", ["a"])[0] == ["a/0000.png"]
    followed, _ = list_dataset_directory(tmp_path / "data", ["a"], follow_links=True)
    assert followed == ["a/0000.png", "a/link/0000.png", "a/link/0001.png"]


def test_shuffling_is_seeded_and_keeps_labels_with_their_paths(data: Path) -> None:
    classes = ["rock", "paper"]
    paths, ids = list_dataset_directory(data, classes, shuffle=True)
    assert (paths, ids) == list_dataset_directory(data, classes, shuffle=True, seed=43)
    assert paths != list_dataset_directory(data, classes, shuffle=True, seed=0)[0]
    assert all(path is not None and path.startswith(classes[i]) for path, i in zip(paths, ids, strict=True))
    assert sorted(ids) == [0] * 10 + [1] * 20


def test_absolute_paths(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    paths, _ = list_dataset_directory("data", ["dog"], return_absolute_paths=True)
    assert paths == [f"{data.as_posix()}/dog/0000.png", f"{data.as_posix()}/dog/0001.png"]


def test_unknown_samples_are_relative_to_the_mean_size_and_drawn_evenly_as_far_as_they_go(data: Path) -> None:
    make(data, **{"_noise": 50, "~old": 50, ".git": 50})
    counts: dict[str, int] = {}
    classes = ["rock", "paper", "scissor", "_unknown_"]
    paths, _ = list_dataset_directory(
        data, classes, unknown_class_label="_unknown_", unknown_class_percentage=0.5, class_counts=counts
    )
    assert counts == {"rock": 10, "paper": 20, "scissor": 30, "_unknown_": 10}
    drawn = [str(path) for path in paths[-10:]]
    assert sorted(path.split("/")[0] for path in drawn) == ["cat"] * 8 + ["dog"] * 2
    assert drawn != sorted(drawn)
    again, _ = list_dataset_directory(
        data, classes, unknown_class_label="_unknown_", unknown_class_percentage=0.5
    )
    assert paths == again


def test_unknown_samples_of_the_two_parts_of_a_split_are_disjoint(data: Path) -> None:
    first, second = (
        list_dataset_directory(
            data, ["rock", "?"], unknown_class_label="?", unknown_class_percentage=9, split=split
        )[0]
        for split in ((0, 0.5), (0.5, 1))
    )
    assert not set(first) & set(second)


def test_unknown_class_of_share_0_is_filled_by_the_callback(data: Path) -> None:
    def process(sample_paths: dict[str, list[str]], **_: object) -> None:
        assert sample_paths["?"] == []
        sample_paths["?"] += ["elsewhere/a", "elsewhere/b"]

    paths, ids = list_dataset_directory(
        data,
        ["rock", "?"],
        unknown_class_label="?",
        unknown_class_percentage=0,
        process_samples_function=process,
    )
    assert [path for path, i in zip(paths, ids, strict=True) if i == 1] == ["elsewhere/a", "elsewhere/b"]
    with pytest.raises(DatasetError, match="'\\?'"):
        list_dataset_directory(data, ["rock", "?"], unknown_class_label="?", unknown_class_percentage=0)


def test_unknown_label_without_other_folders_is_an_error(tmp_path: Path) -> None:
    data = make(tmp_path / "data", a=1)
    with pytest.raises(DatasetError, match="every folder is a named class"):
        list_dataset_directory(data, ["a", "_unknown_"], unknown_class_label="_unknown_")


@pytest.mark.parametrize(("percentage", "expected"), [(0.6, 12), (0.0, 1)])
def test_empty_class_has_no_files_and_at_least_one_sample(
    data: Path, percentage: float, expected: int
) -> None:
    paths, ids = list_dataset_directory(
        data,
        ["_silence_", "paper"],
        empty_class_label="_silence_",
        empty_class_percentage=percentage,
        return_absolute_paths=True,
    )
    assert paths[:expected] == [None] * expected
    assert ids == [0] * expected + [1] * 20


def test_process_function_edits_the_lists_and_the_limit_applies_to_its_result(data: Path) -> None:
    seen: dict[str, object] = {}

    def process(sample_paths: dict[str, list[str | None]], **others: object) -> None:
        seen.update(others)
        sample_paths["rock"] *= 2
        sample_paths["dog"].pop()

    counts: dict[str, int] = {}
    list_dataset_directory(
        data,
        ["rock", "dog"],
        class_counts=counts,
        max_samples_per_class=12,
        white_list_formats=["png"],
        process_samples_function=process,
    )
    assert counts == {"rock": 12, "dog": 1}
    assert seen == {
        "directory": str(data),
        "split": None,
        "follow_links": False,
        "white_list_formats": (".png",),
        "shuffle": False,
        "seed": None,
    }


def test_custom_listing_function_is_called_by_keyword_and_may_resolve_other_folders(data: Path) -> None:
    def listing(**kwargs: object) -> tuple[str, list[str]]:
        assert kwargs.pop("search_class") == "scissors"
        return list_valid_filenames_in_directory(search_class="scissor", **kwargs)  # type: ignore[arg-type]

    paths, ids = list_dataset_directory(
        data, ["scissors"], list_valid_filenames_in_directory_function=listing
    )
    assert len(paths) == len(ids) == 30


def test_the_data_set_folder_is_never_written_to(data: Path) -> None:
    before = tree(data)
    list_dataset_directory(data, ["rock", "?"], unknown_class_label="?", shuffle=True, split=(0, 0.5))
    assert tree(data) == before


def test_index_folder_keeps_a_shuffled_order_in_which_new_files_come_last(data: Path, tmp_path: Path) -> None:
    def listed() -> list[str]:
        return list_valid_filenames_in_directory(data, "paper", shuffle_index_directory=tmp_path / "log")[1]

    before = tree(data)
    first = listed()
    assert tree(data) == before
    assert first != sorted(first)
    index = tmp_path / "log/.index/paper.txt"
    assert index.read_text().splitlines() == first
    stamp = index.stat().st_mtime_ns
    assert listed() == first
    assert index.stat().st_mtime_ns == stamp
    (data / "paper/new.png").touch()
    (data / first[3]).unlink()
    assert listed() == first[:3] + first[4:] + ["paper/new.png"]


def test_index_order_does_not_depend_on_the_machine(data: Path, tmp_path: Path) -> None:
    a, b = (
        list_valid_filenames_in_directory(data, "cat", shuffle_index_directory=tmp_path / n)[1] for n in "ab"
    )
    assert a == b


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directory": "nowhere"}, "data set folder 'nowhere' does not exist"),
        ({"classes": ["rok"]}, "no folder for class 'rok'.*Did you mean 'rock'"),
        (
            {"classes": ["void"], "white_list_formats": ["png", "jpg"]},
            r"class 'void' has no samples.*\.png, \.jpg",
        ),
        (
            {"classes": ["one"], "split": (0.5, 1.0)},
            "class 'one' has no samples in the part from 50% to 100%",
        ),
        ({"classes": ["rock", "rock"]}, "'rock' is listed more than once"),
        ({"classes": "rock"}, "must be a list"),
        ({"classes": ["?"], "empty_class_label": "?"}, "At least one class besides"),
        ({"classes": ["rock"], "split": (0.5, 0.2)}, "two ascending fractions"),
    ],
    ids=["folder", "class folder", "empty class", "empty part", "twice", "text", "only special", "split"],
)
def test_wrong_input_is_one_clear_line(data: Path, arguments: dict[str, object], message: str) -> None:
    make(data, void=0, one=1)
    with pytest.raises(DatasetError, match=message) as error:
        list_dataset_directory(**{"directory": data, "classes": ["rock"], **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@given(st.integers(0, 300), st.floats(0, 1))
def test_the_two_parts_of_a_split_are_the_whole_list(n: int, cut: float) -> None:
    paths = list(range(n))
    assert split_file_list(paths, (0, cut)) + split_file_list(paths, (cut, 1)) == paths


@given(st.integers(0, 300), st.floats(0, 1), st.floats(0, 1))
def test_a_split_honours_both_ends(n: int, a: float, b: float) -> None:
    start, stop = sorted((a, b))
    paths = list(range(n))
    first, second, third = (split_file_list(paths, part) for part in ((0, start), (start, stop), (stop, 1)))
    assert first + second + third == paths


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 99)), max_size=40))
def test_groups_stay_together_and_nothing_is_lost(pairs: list[tuple[str, int]]) -> None:
    paths = [f"{group}_{i}" for group, i in pairs]
    shuffled = shuffle_file_list_by_group(paths, lambda path: path[0])
    assert sorted(shuffled) == sorted(paths)
    runs = [path[0] for i, path in enumerate(shuffled) if i == 0 or shuffled[i - 1][0] != path[0]]
    assert len(runs) == len(set(runs))


def test_group_shuffle_is_seeded_and_leaves_its_input_alone() -> None:
    paths = [f"{g}/{i}" for g in range(9) for i in range(5)]
    copy = list(paths)
    a = shuffle_file_list_by_group(paths, os.path.dirname)
    assert a == shuffle_file_list_by_group(paths, os.path.dirname, seed=42)
    assert a != shuffle_file_list_by_group(paths, os.path.dirname, seed=1)
    assert paths == copy


@pytest.mark.slow
def test_a_hundred_thousand_files_are_listed_within_two_seconds(tmp_path: Path) -> None:
    make(tmp_path, a=100_000)
    start = time.perf_counter()
    assert len(list_dataset_directory(tmp_path, ["a"], white_list_formats=["png"])[0]) == 100_000
    assert time.perf_counter() - start < 2


def test_files_that_are_left_out_are_reported_by_kind_once(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("rock/a.heic", "rock/b.HEIC", "paper/deep/c.gif", "paper/d", "rock/notes.txt", "cat/e.xcf"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).touch()
    for _ in range(2):
        list_dataset_directory(data, ["rock", "paper"], white_list_formats=["png"])
    assert [r.getMessage() for r in caplog.records] == [
        f"4 of 35 files in '{data}' are left out: 2 .heic, 1 .gif, 1 without an ending. Files that are read end in "
        f".png; convert the others, or remove them."
    ]
    list_dataset_directory(
        data, ["rock", "_unknown_"], unknown_class_label="_unknown_", white_list_formats=["png"]
    )
    assert "1 .xcf" in caplog.text


def test_nothing_is_reported_if_every_ending_is_read(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    (data / "rock" / "a.heic").touch()
    list_dataset_directory(data, ["rock"])
    list_dataset_directory(data, ["rock"], white_list_formats=["PNG", ".heic"])
    assert not caplog.records
