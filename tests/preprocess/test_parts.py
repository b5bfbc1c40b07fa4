"""Training, validation and test parts of a data set: folders, lists of files, groups."""

import pytest
from PIL import Image

from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.data import PartLister
from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_image import ImageDatasetMixin, ParallelImageDataGenerator


class Model(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateClassifierMixin):
    """An image model."""


def write_images(folder, groups="abcde", each=4, classes=("cat", "dog")):
    for label in classes:
        (folder / label).mkdir(parents=True)
        for group in groups:
            for i in range(each):
                Image.new("L", (4, 4), 10 * i).save(folder / label / f"{group}_{i}.png")
    return folder


def make_model(dataset, split=0.0):
    model = Model()
    model.classes = ["cat", "dog"]
    model.input_shape = (4, 4, 1)
    model.datagen = ParallelImageDataGenerator(validation_split=split)
    model.dataset = dataset
    return model


def load(model, subset):
    """Return the file names of the training, validation and evaluation iterators."""
    model.load_dataset(subset)
    found = [
        set() if iterator is None else set(iterator.filenames)
        for iterator in model.datagen_context.iterators().values()
    ]
    paths = [path for i in model.datagen_context.iterators().values() if i for path in i.filepaths]
    model.unload_dataset()
    return *found, paths


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_folders_named_train_val_and_test_are_the_parts(tmp_path, name):
    for folder, groups in (("train", "abc"), (name, "d"), ("test", "ef")):
        write_images(tmp_path / folder, groups)
    model = make_model(str(tmp_path), split=0.25)
    training, validation, _, _ = load(model, "training")
    assert {f.split("/")[1][0] for f in training} == set("abc")
    assert len(training) == 24
    assert {f.split("/")[1][0] for f in validation} == {"d"}
    *_, evaluation, paths = load(model, "evaluation")
    assert len(evaluation) == 16
    assert all(f"{tmp_path}/test/" in path for path in paths)


def test_without_validation_folder_the_split_cuts_the_training_folder_only(tmp_path):
    write_images(tmp_path / "train", "abcd")
    write_images(tmp_path / "test", "ef")
    model = make_model(str(tmp_path), split=0.25)
    training, validation, _, _ = load(model, "training")
    assert (len(training), len(validation)) == (24, 8)
    assert not training & validation
    assert len(load(model, "evaluation")[2]) == 16


def test_a_folder_for_evaluation_that_a_function_returns_is_evaluated_whole(tmp_path):
    write_images(tmp_path / "mine", "abcd")
    write_images(tmp_path / "other", "ef")

    def load_data(subset):
        return tmp_path / ("other" if subset == "evaluation" else "mine")

    assert len(load(make_model(load_data, split=0.25), "evaluation")[2]) == 16
    # One folder for everything: the part that validates is evaluated.
    assert len(load(make_model(lambda subset: tmp_path / "mine", split=0.25), "evaluation")[2]) == 8


def test_a_class_named_train_is_a_class(tmp_path):
    write_images(tmp_path, classes=("car", "train"))
    model = make_model(str(tmp_path))
    model.classes = ["car", "train"]
    assert len(load(model, "training")[0]) == 40


def test_lists_of_files_name_the_parts(tmp_path):
    write_images(tmp_path, "abcde")
    (tmp_path / "testing_list.txt").write_text("cat/a_0.png\n./cat/a_1.png\ndog/a_0.png\r\ndog/a_1.png\n")
    (tmp_path / "validation_list.txt").write_text("cat/b_0.png\ndog/b_0.png\n")
    model = make_model(str(tmp_path))
    model.test_files = "testing_list.txt"
    model.validation_files = "validation_list.txt"
    training, validation, _, _ = load(model, "training")
    assert validation == {"cat/b_0.png", "dog/b_0.png"}
    assert len(training) == 34
    assert load(model, "evaluation")[2] == {"cat/a_0.png", "cat/a_1.png", "dog/a_0.png", "dog/a_1.png"}
    model.validation_files = None
    model.datagen.validation_split = 0.5
    training, validation, _, _ = load(model, "training")
    assert (len(training), len(validation)) == (18, 18)


def test_missing_list_is_named(tmp_path):
    write_images(tmp_path)
    model = make_model(str(tmp_path))
    model.test_files = "testing_list.txt"
    with pytest.raises(DatasetError, match=r"testing_list\.txt' cannot be read"):
        load(model, "evaluation")


@pytest.mark.parametrize("group_by", [r"/(\w)_", lambda path: path.split("/")[1][0]])
def test_groups_stay_on_one_side_of_the_split(tmp_path, group_by):
    write_images(tmp_path, "abcdefgh")
    model = make_model(str(tmp_path), split=0.25)
    model.group_by = group_by
    training, validation, _, _ = load(model, "training")
    groups = [{f.split("/")[1][0] for f in files} for files in (training, validation)]
    assert not groups[0] & groups[1]
    assert [len(g) for g in groups] == [6, 2]
    assert load(model, "evaluation")[2] == validation


def test_each_part_of_a_split_gets_a_group(tmp_path):
    write_images(tmp_path, "ab")
    parts = [PartLister(lambda p: p[4])(tmp_path, "cat", split=split)[1] for split in ((0, 0.01), (0.01, 1))]
    assert sorted(map(len, parts)) == [4, 4]


def test_file_without_group_is_its_own_group(tmp_path):
    write_images(tmp_path, "abcdefgh", each=1)
    parts = [PartLister(lambda p: None)(tmp_path, "cat", split=split)[1] for split in ((0, 0.5), (0.5, 1))]
    assert sum(map(len, parts)) == 8
    assert all(parts)


@pytest.mark.parametrize("value", ["(", 3])
def test_wrong_group_is_refused(value):
    with pytest.raises(SpecificationError, match="group_by"):
        make_model(None).group_by = value


@pytest.mark.parametrize(
    ("names", "pattern_group"),
    [
        (lambda c, g, i: f"{g}_{i}.png", "anna"),
        (lambda c, g, i: f"{c}_{g}_{i}.png", "anna"),
        (lambda c, g, i: f"{g}_nohash_{i}.png", "anna"),
        (lambda c, g, i: f"{g}/{i}.png", "anna"),
        (lambda c, g, i: f"IMG_{ord(g[0])}{i}.png", None),
        (lambda c, g, i: f"{c}{g}{i}.png", None),
    ],
)
def test_a_split_that_tears_apart_what_file_names_suggest_to_be_groups_is_reported(
    tmp_path, caplog, names, pattern_group
):
    for label in ("cat", "dog"):
        for group in ("anna", "ben", "carl"):
            for i in range(4):
                path = tmp_path / label / names(label, group, i)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 4)).save(path)
    model = make_model(str(tmp_path), split=0.5)
    load(model, "evaluation")
    assert not caplog.records
    load(model, "training")
    if pattern_group is None:
        assert not caplog.records
        return
    (record,) = caplog.records
    assert "of 3 groups on both sides" in record.getMessage()
    pattern = record.getMessage().split('group_by = r"')[1].split('"')[0]
    caplog.clear()
    model.group_by = pattern
    training, validation, _, _ = load(model, "training")
    assert not caplog.records
    assert {any(pattern_group in f for f in side) for side in (training, validation)} == {True, False}


def test_no_groups_is_an_answer(tmp_path, caplog):
    write_images(tmp_path)
    model = make_model(str(tmp_path), split=0.25)
    load(model, "training")
    assert len(caplog.records) == 1
    caplog.clear()
    by_default = load(model, "training")
    model.group_by = False
    assert load(model, "training") == by_default
    assert not caplog.records


def test_groups_can_be_left_out_for_the_evaluation(tmp_path):
    write_images(tmp_path, "abcde")
    model = make_model(str(tmp_path), split=0.25)
    model.test_groups = ["b", "e"]
    with pytest.raises(SpecificationError, match=r"test_groups needs my_model\.group_by"):
        load(model, "training")
    model.group_by = r"/(\w)_"
    training, validation, _, _ = load(model, "training")
    sides = [{f.split("/")[1][0] for f in files} for files in (training, validation)]
    assert sides[0] | sides[1] == set("acd") and not sides[0] & sides[1]
    assert {f.split("/")[1][0] for f in load(model, "evaluation")[2]} == set("be")
    assert len(load(model, "evaluation")[2]) == 16
    model.test_groups = ["f"]
    with pytest.raises(
        DatasetError, match=r"test_groups has 'f', but no file .* Groups: 'a', 'b', 'c' and 2 more"
    ):
        load(model, "training")
