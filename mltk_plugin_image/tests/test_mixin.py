"""Models that inherit `ImageDatasetMixin`, loaded through the hook."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mltk.core as mltk_core
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep, get_plugin_manager, hookimpl
from mltk_plugin_image import ImageDatasetMixin, ParallelImageDataGenerator


class ImageModel(
    mltk_core.MltkModel, mltk_core.TrainMixin, ImageDatasetMixin, mltk_core.EvaluateClassifierMixin
):
    pass


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def make_model(tmp_path):
    def make(**properties):
        model = ImageModel(tmp_path / "image_model.py")
        model.classes = ["rock", "paper"]
        model.input_shape = (12, 16, 1)
        model.batch_size = 4
        model.datagen = ParallelImageDataGenerator(validation_split=0.5, rotation_range=10)
        for name, value in properties.items():
            setattr(model, name, value)
        return model

    return make


def arrays(n=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 12, 16), dtype=np.uint8), np.arange(n) % 2


def test_the_mixin_is_importable_under_the_names_of_the_reference():
    assert mltk_core.ImageDatasetMixin is ImageDatasetMixin
    from mltk.core.model import ImageDatasetMixin as from_model

    assert from_model is ImageDatasetMixin


def test_training_data_of_a_folder(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper()))
    model.load_dataset("training", logger=logging.getLogger("test"))
    assert (model.x.samples, model.validation_data.samples) == (5, 5)
    assert model.class_counts["training"] == {"rock": 3, "paper": 2}
    assert model.class_counts["validation"] == {"rock": 3, "paper": 2}
    assert (model.x.batch_size, model.x.seed) == (4, model.seed)
    x, y = model.x[0]
    assert x.shape == (4, 12, 16, 1) and y.shape == (4, 2)
    assert model.datagen_context.train_datagen is model.x
    summary = model.summarize_dataset()
    for expected in ("rock", "rotation_range: 10", "Images for validation: the same"):
        assert expected in summary
    model.unload_dataset()
    assert model.x is None


@pytest.mark.parametrize("as_function", [True, False])
def test_a_function_or_module_may_give_the_folder(make_model, rock_paper, as_function):
    root = rock_paper()
    seen = {}

    def load_data(subset="?", **kwargs):
        seen.update(kwargs, subset=subset)
        return str(root)

    model = make_model(dataset=load_data if as_function else SimpleNamespace(load_data=load_data))
    model.load_dataset("training")
    assert model.x.samples == 5
    assert seen["subset"] == "training" and seen["mltk_model"] is model


def test_evaluation_uses_the_held_out_files_in_order_and_without_augmentation(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper()))
    model.load_dataset("training")
    held_out = sorted(model.validation_data.filenames)
    model.load_dataset("evaluation")
    assert sorted(model.x.filenames) == held_out
    assert model.validation_data is None
    x, y = (np.concatenate(part) for part in zip(*model.x, strict=True))
    assert y.argmax(axis=1).tolist() == [0, 0, 0, 1, 1]
    assert np.array_equal(x, np.rint(x))
    assert model.class_counts["evaluation"] == {"rock": 3, "paper": 2}
    model.eval_augment = True
    model.load_dataset("evaluation")
    assert not np.array_equal(np.concatenate([x for x, _ in model.x]), x)


@pytest.mark.parametrize(
    ("folders", "split", "part"),
    [
        (["train/rock", "train/paper", "test/rock", "test/paper"], 0.5, "test"),
        (["rock", "paper"], 0.5, "validation"),
        (["rock", "paper"], 0.0, "training"),
    ],
)
def test_the_evaluation_data_are_named(make_model, rock_paper, folders, split, part):
    data = rock_paper(dict.fromkeys(folders, 4))
    model = make_model(dataset=str(data), datagen=ParallelImageDataGenerator(validation_split=split))
    model.load_dataset("evaluation")
    assert model.evaluation_part == part


def test_only_what_is_read_again_stays_in_memory(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper()))
    for subset, kept in (("training", ParallelImageDataGenerator().cache_bytes), ("evaluation", 0)):
        model.load_dataset(subset)
        assert model.x.source.generator.cache_bytes == kept
        assert model.datagen.cache_bytes > 0


def test_evaluation_without_a_split_uses_everything_and_may_be_limited(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper()), datagen=ParallelImageDataGenerator())
    model.load_dataset("evaluation")
    assert model.x.samples == 10
    model.eval_max_samples_per_class = 3
    model.load_dataset("evaluation", max_samples_per_class=-1)
    assert model.x.samples == 6
    model.load_dataset("evaluation", max_samples_per_class=2)
    assert model.x.samples == 4
    model.load_dataset("evaluation", max_samples_per_class=2, classes=["paper"])
    assert (model.x.samples, set(model.x.classes.tolist())) == (2, {1})


def test_calibration_data_is_not_augmented(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper()))
    model.load_dataset("validation")
    assert model.x is None
    assert all(np.array_equal(x, np.rint(x)) for x, _ in model.validation_data)
    model.datagen = ParallelImageDataGenerator(rotation_range=10)
    model.load_dataset("validation")
    assert model.validation_data is None
    assert all(np.array_equal(x, np.rint(x)) for x, _ in model.x)


@pytest.mark.parametrize("form", ["pairs", "flat", "sklearn"])
def test_arrays_with_held_out_arrays(make_model, form):
    train, test = arrays(10), arrays(6, seed=1)
    data = {
        "pairs": (train, test),
        "flat": (*train, *test),
        "sklearn": (train[0], test[0], train[1], test[1]),
    }[form]
    model = make_model(dataset=lambda: data, datagen=ParallelImageDataGenerator(debug=True))
    model.load_dataset("training")
    assert (model.x.samples, model.validation_data.samples) == (10, 6)
    model.load_dataset("evaluation")
    assert np.array_equal(np.concatenate([x for x, _ in model.x])[..., 0], test[0])
    assert np.concatenate([y for _, y in model.x]).argmax(axis=1).tolist() == test[1].tolist()


def test_with_a_split_the_held_out_arrays_are_for_evaluation_only(make_model):
    model = make_model(dataset=lambda: (arrays(10), arrays(6, seed=1)))
    model.load_dataset("training")
    assert (model.x.samples, model.validation_data.samples) == (4, 6)
    assert model.class_counts["training"] == {"rock": 2, "paper": 2}
    model.load_dataset("evaluation")
    assert model.x.samples == 6
    assert model.class_counts["evaluation"] == {"rock": 3, "paper": 3}


@pytest.mark.parametrize(
    ("class_mode", "one_hot", "expected"),
    [
        ("categorical", False, [[1, 0], [0, 1]]),
        ("categorical", True, [[1, 0], [0, 1]]),
        ("sparse", True, [0, 1]),
        ("binary", False, [0, 1]),
    ],
)
def test_labels_of_arrays_are_brought_to_the_class_mode(make_model, class_mode, one_hot, expected):
    x, y = arrays(2)
    data = (x, np.eye(2)[y] if one_hot else y)
    model = make_model(
        dataset=lambda: (data, data), datagen=ParallelImageDataGenerator(), class_mode=class_mode
    )
    model.load_dataset("evaluation")
    assert model.x[0][1].tolist() == expected


def test_soft_labels_are_kept(make_model):
    x, _ = arrays(2)
    y = np.array([[0.9, 0.1], [0.3, 0.7]])
    model = make_model(dataset=lambda: ((x, y), (x, y)), datagen=ParallelImageDataGenerator())
    model.load_dataset("evaluation")
    assert np.array_equal(model.x[0][1], y)


def test_array_samples_per_class_can_be_limited(make_model):
    model = make_model(dataset=lambda: (arrays(10), arrays(6)), datagen=ParallelImageDataGenerator())
    model.load_dataset("evaluation", max_samples_per_class=2, classes=["rock"])
    assert (model.x.samples, set(model.x.classes.tolist())) == (2, {0})


def test_test_mode_reads_three_samples_of_each_class_without_threads(make_model, rock_paper):
    model = make_model(dataset=str(rock_paper({"rock": 12, "paper": 12})))
    model.enable_test_mode()
    model.load_dataset("training", test=True)
    assert (model.x.samples, model.x.batch_size, model.x.workers) == (6, 3, 0)
    assert (model.datagen.debug, model.datagen.batch_size) == (False, None)
    arrays_model = make_model(dataset=lambda: (arrays(30), arrays(30)))
    arrays_model.load_dataset("training", test=True)
    assert (arrays_model.x.samples, arrays_model.x.batch_size, arrays_model.x.workers) == (6, 3, 0)


def test_interpolation_none_leaves_the_size_to_a_callback(make_model, tmp_path):
    (tmp_path / "arrays" / "rock").mkdir(parents=True)
    np.save(tmp_path / "arrays" / "rock" / "0.npy", np.arange(30 * 16, dtype=np.float32).reshape(30, 16))
    model = make_model(
        dataset=str(tmp_path / "arrays"),
        classes=["rock"],
        class_mode="input",
        datagen=ParallelImageDataGenerator(preprocessing_function=lambda params, x: x[2:14]),
    )
    model.interpolation = None
    model.load_dataset("training")
    x, y = model.x[0]
    assert np.array_equal(x, y) and np.array_equal(x[0].ravel(), np.arange(32, 14 * 16))


def test_a_validation_generator_of_its_own(make_model, rock_paper):
    model = make_model(
        dataset=str(rock_paper()), validation_datagen=ParallelImageDataGenerator(rescale=1 / 255)
    )
    model.load_dataset("training")
    assert model.validation_data.samples == 5
    assert model.validation_data[0][0].max() <= 1 < model.x[0][0].max()


def test_the_seed_of_the_model_governs_order_and_transforms(make_model, rock_paper):
    root = str(rock_paper())

    def first_batch(seed):
        model = make_model(dataset=root, seed=seed)
        model.load_dataset("training")
        return model.x[0][0]

    assert np.array_equal(first_batch(1), first_batch(1))
    assert not np.array_equal(first_batch(1), first_batch(2))


def test_the_summary_says_what_is_not_augmented(make_model, rock_paper):
    root = str(rock_paper())
    model = make_model(dataset=root)
    model.datagen.validation_augmentation_enabled = False
    model.load_dataset("training")
    assert "Images for validation (not augmented)" in model.summarize_dataset()
    model.load_dataset("evaluation")
    assert "Images for evaluation (not augmented):\n  rotation_range: 10" in model.summarize_dataset()
    model = make_model(dataset=root, datagen=ParallelImageDataGenerator())
    model.load_dataset("training")
    assert "Images for training: as they are" in model.summarize_dataset()


def test_a_shuffled_order_is_kept_outside_of_the_data_set(make_model, rock_paper):
    root = rock_paper({"rock": 20, "paper": 20})
    model = make_model(dataset=str(root), shuffle_dataset_enabled=True)
    before = sorted(root.rglob("*"))
    model.load_dataset("training")
    names = model.x.filenames
    assert names != sorted(names, key=lambda n: (n.split("/")[0] != "rock", n))
    assert sorted(root.rglob("*")) == before
    model.load_dataset("evaluation")
    assert not set(model.x.filenames) & set(names)


def test_color_mode_and_size_come_from_the_input_shape(make_model, rock_paper):
    root = str(rock_paper())
    model = make_model(dataset=root, input_shape=(6, 8, 3))
    model.load_dataset("training")
    assert model.x.image_shape == (6, 8, 3)
    model = make_model(dataset=root, input_shape=(6, 8, 4))
    with pytest.raises(SpecificationError, match="rgba"):
        model.load_dataset("training")
    model.color_mode = "rgba"
    model.target_size = (10, 10)
    model.load_dataset("training")
    assert model.x.image_shape == (10, 10, 4)


def test_fingerprints_identify_the_data(make_model, rock_paper):
    def fingerprint(**properties):
        model = make_model(**properties)
        model.load_dataset("training")
        return model.dataset_fingerprint

    root = rock_paper()
    first = fingerprint(dataset=str(root))
    assert first == fingerprint(dataset=str(root), seed=7)
    (root / "rock" / "5.png").unlink()
    assert first != fingerprint(dataset=str(root))
    pair = (arrays(), arrays(seed=1))
    other = (arrays(), arrays(seed=2))
    assert fingerprint(dataset=lambda: pair) == fingerprint(dataset=lambda: pair)
    plain = ParallelImageDataGenerator()
    assert fingerprint(dataset=lambda: pair, datagen=plain) != fingerprint(
        dataset=lambda: other, datagen=plain
    )


def test_parameters_tell_the_device_about_normalisation(make_model):
    hook = get_plugin_manager().hook.mltk_model_parameters

    def parameters(**settings):
        model = make_model(datagen=ParallelImageDataGenerator(**settings))
        found = [p for p in hook(mltk_model=model, tflite_model=None) if "samplewise_norm.rescale" in p]
        return [(key, p.value, p.dtype) for key, p in found[0].items()]

    assert parameters() == [
        ("samplewise_norm.rescale", 0.0, "double"),
        ("samplewise_norm.mean_and_std", False, "bool"),
    ]
    assert parameters(rescale=0.5, samplewise_std_normalization=True) == [
        ("samplewise_norm.rescale", 0.5, "float"),
        ("samplewise_norm.mean_and_std", True, "bool"),
    ]


def test_steps_of_other_plugins_take_part_in_training_only(make_model, rock_paper):
    class Blackout:
        @hookimpl
        def mltk_augmentations(self, subset, domain):
            if (subset, domain) == ("training", "image"):
                return [AugmentationStep("blackout", "after", lambda batch, rng: batch * 0)]
            return None

    manager = get_plugin_manager()
    plugin = Blackout()
    manager.register(plugin, "blackout")
    try:
        model = make_model(dataset=str(rock_paper()))
        model.load_dataset("training")
    finally:
        manager.unregister(plugin)
    assert model.x[0][0].max() == 0 < model.validation_data[0][0].max()
    assert "augmentation_steps: ['blackout']" in model.summarize_dataset()


@pytest.mark.parametrize("place", ["model", "generator"])
def test_a_specification_disables_steps_by_name(make_model, rock_paper, place):
    class Plugin:
        @hookimpl
        def mltk_augmentations(self, subset, domain):
            if subset == "training":
                return [AugmentationStep("blackout", "after", lambda batch, rng: batch * 0)]
            return None

    def load(subset, *disabled):
        model = make_model(dataset=str(root), datagen=ParallelImageDataGenerator(brightness_range=(0.5, 0.5)))
        target = model if place == "model" else model.datagen
        target.disabled_augmentations = list(disabled)
        model.load_dataset(subset)
        model.unload_dataset()
        return next(i for i in model.datagen_context.iterators().values() if i is not None)[0][0]

    root = rock_paper()
    manager = get_plugin_manager()
    plugin = Plugin()
    manager.register(plugin, "blackout")
    try:
        assert load("training").max() == 0
        assert 0 < load("training", "blackout").max() < 128
        assert load("training", "blackout", "image_transforms").max() > 200
        # The plugin offers the step for another subset.
        assert load("evaluation", "blackout").max() > 200
        with pytest.raises(
            SpecificationError, match=r"'blackot'.*Did you mean 'blackout'.*'image_transforms'"
        ):
            load("training", "blackot")
    finally:
        manager.unregister(plugin)


def test_a_data_set_with_its_own_loader_is_left_alone(make_model):
    model = make_model(dataset=SimpleNamespace(load_dataset=lambda subset, test, mltk_model: (1, 2)))
    model.load_dataset("training")
    assert (model.x, model.y) == (1, 2)


def test_a_function_may_set_the_properties_itself(make_model):
    def load(subset, test, mltk_model):
        mltk_model.x = [subset]

    model = make_model(dataset=load)
    model.load_dataset("training")
    assert model.x == ["training"]


def test_the_plugin_module_is_light():
    code = "import sys, mltk_plugin_image.plugin; sys.exit('numpy' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_models_are_answered_without_importing_anything(monkeypatch):
    from mltk_plugin_image import plugin

    monkeypatch.delitem(sys.modules, "mltk_plugin_image.mixins")
    assert plugin.mltk_load_dataset(object(), "training", False, {}) is None
    assert plugin.mltk_model_parameters(object()) is None
    assert "mltk_plugin_image.mixins" not in sys.modules


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("/no/such/folder", "/no/such/folder"),
        (lambda: 5, "type int"),
        (lambda: ((np.zeros((3, 12, 16)), np.zeros(2)),) * 2, "3 samples but 2 labels"),
        (lambda: ((np.zeros((3, 9, 9)), np.zeros(3)),) * 2, r"\(9, 9, 1\).*\(12, 16, 1\)"),
        (lambda: ((np.zeros((3, 12, 16)), np.arange(3)),) * 2, "0 to 2.*2 classes"),
        (lambda: ((np.zeros((3, 12, 16)), np.eye(3)),) * 2, "rows of 3.*2 classes"),
        (lambda: ((np.zeros((3, 12, 16)), None),) * 2, "no labels"),
    ],
)
def test_unusable_data_is_one_clear_error(make_model, dataset, message):
    model = make_model(dataset=dataset, datagen=ParallelImageDataGenerator())
    with pytest.raises(DatasetError, match=message):
        model.load_dataset("training")


def test_a_missing_or_empty_class_folder_is_named(make_model, rock_paper):
    root = rock_paper({"rock": 3})
    model = make_model(dataset=str(root))
    with pytest.raises(DatasetError, match="paper"):
        model.load_dataset("training")
    (root / "paper").mkdir()
    with pytest.raises(DatasetError, match="paper"):
        model.load_dataset("training")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("class_mode", "categoric", "Did you mean 'categorical'"),
        ("color_mode", "gray", "grayscale"),
        ("interpolation", "bilinea", "Did you mean 'bilinear'"),
        ("datagen", 5, "ParallelImageDataGenerator"),
        ("target_size", (0, 5), "target_size"),
        ("classes", ["a", 5], "classes"),
        ("image_classes", ["a", "a"], "more than once"),
    ],
)
def test_wrong_properties_are_refused_when_they_are_set(make_model, name, value, message):
    with pytest.raises(SpecificationError, match=message):
        setattr(make_model(), name, value)


def test_aliases_are_the_properties_of_the_model(make_model):
    model = make_model()
    model.image_classes = ["x"]
    model.image_input_shape = (1, 2, 3)
    assert (model.classes, model.input_shape) == (["x"], (1, 2, 3))


def test_missing_classes_are_explained(tmp_path, rock_paper):
    model = ImageModel(tmp_path / "image_model.py")
    model.input_shape = (12, 16, 1)
    model.datagen = ParallelImageDataGenerator()
    model.dataset = str(rock_paper())
    with pytest.raises(SpecificationError, match="classes"):
        model.load_dataset("training")


@pytest.mark.slow
def test_the_generator_of_keras_works_too(make_model, rock_paper):
    keras = pytest.importorskip("keras")
    generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(validation_split=0.5)
    model = make_model(dataset=str(rock_paper()), datagen=generator)
    model.load_dataset("training")
    assert model.x[0][0].shape == (4, 12, 16, 1)
    assert model.class_counts["training"] == {"rock": 3, "paper": 2}
    model = make_model(dataset=lambda: (arrays(10), arrays(6, seed=1)), datagen=generator)
    model.load_dataset("training")
    assert model.x[0][1].shape == (4, 2)
    model.load_dataset("evaluation")
    assert model.class_counts["evaluation"] == {"rock": 3, "paper": 3}
