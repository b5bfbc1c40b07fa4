from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator as ByReferenceName
from mltk.data import DEFAULT_SEED
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep
from mltk_plugin_image import ParallelImageDataGenerator, ParallelProcessParams

EVERYTHING = {
    "rotation_range": 35,
    "width_shift_range": 2.0,
    "zoom_range": 0.1,
    "brightness_range": (0.5, 1.1),
    "contrast_range": (0.5, 1.1),
    "noise": ["gauss", "poisson", "s&p", "speckle"],
    "horizontal_flip": True,
    "samplewise_std_normalization": True,
}


def flow(root, generator=None, **arguments):
    generator = generator or ParallelImageDataGenerator(debug=True)
    defaults = {
        "target_size": (12, 16),
        "color_mode": "grayscale",
        "classes": ["rock", "paper"],
        "batch_size": 4,
    }
    return generator.flow_from_directory(root, **{**defaults, **arguments})


def data(iterator, epochs=1) -> bytes:
    return b"".join(a.tobytes() for _ in range(epochs) for batch in iterator for a in batch)


def test_the_reference_import_is_this_class():
    assert ByReferenceName is ParallelImageDataGenerator


@pytest.mark.parametrize("cache_bytes", [0, 3 * 12 * 16, 2**20], ids=["no-cache", "part", "all"])
def test_workers_cache_and_repetition_do_not_change_a_byte(rock_paper, cache_bytes):
    root = rock_paper()
    expected = data(flow(root, ParallelImageDataGenerator(debug=True, cache_bytes=0, **EVERYTHING)), 3)
    for workers in (1, 2, 4):
        generator = ParallelImageDataGenerator(cores=workers, cache_bytes=cache_bytes, **EVERYTHING)
        with flow(root, generator) as iterator:
            assert data(iterator, 3) == expected
    assert data(flow(root, ParallelImageDataGenerator(debug=True, **EVERYTHING), seed=1), 3) != expected


def test_a_resumed_epoch_has_the_bytes_of_the_uninterrupted_run(rock_paper):
    root = rock_paper()
    whole = flow(root, ParallelImageDataGenerator(debug=True, **EVERYTHING))
    data(whole, 2)
    third = data(whole)
    resumed = flow(root, ParallelImageDataGenerator(cores=2, **EVERYTHING))
    resumed.epoch = 2
    assert data(resumed) == third


def test_every_sample_comes_exactly_once_per_epoch_in_a_new_order(rock_paper):
    root = rock_paper()
    images = {Image.open(p).tobytes() for p in root.rglob("*.png")}
    iterator = flow(root)
    orders = []
    for _ in range(3):
        batches = list(iterator)
        assert [len(x) for x, _ in batches] == [4, 4, 2]
        orders.append([image.astype(np.uint8).tobytes() for x, _ in batches for image in x])
    assert all(set(order) == images and len(order) == len(images) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_without_shuffle_samples_come_class_by_class(rock_paper):
    y = np.concatenate([y for _, y in flow(rock_paper(), shuffle=False)])
    assert y.argmax(axis=1).tolist() == [0] * 6 + [1] * 4


def test_iterator_attributes_are_those_of_the_reference(rock_paper):
    root = rock_paper()
    counts = {}
    iterator = flow(root, class_counts=counts, shuffle=False)
    assert counts == {"rock": 6, "paper": 4}
    assert iterator.samples == iterator.n == iterator.max_samples == 10
    assert iterator.filenames[0] == "rock/0.png" and len(iterator.filenames) == 10
    assert iterator.filepaths[-1] == str(root / "paper" / "3.png")
    assert iterator.class_indices == {"rock": 0, "paper": 1}
    assert iterator.num_classes == 2
    assert iterator.classes.tolist() == iterator.labels.tolist() == [0] * 6 + [1] * 4
    assert (iterator.batch_size, len(iterator), iterator.seed) == (4, 3, DEFAULT_SEED)
    assert iterator.image_shape == (12, 16, 1)
    assert iterator[2][0].shape == (2, 12, 16, 1)
    iterator.shutdown()


def test_threads_end_when_iteration_stops_in_the_middle(rock_paper):
    before = threading.active_count()
    iterator = flow(rock_paper({"rock": 40, "paper": 40}), ParallelImageDataGenerator(cores=2))
    for _ in iterator:
        break
    assert threading.active_count() == before
    next(iter(iterator))
    iterator.shutdown()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("class_mode", "check"),
    [
        ("categorical", lambda x, y: y.tolist() == [[1, 0]] * 6 + [[0, 1]] * 4),
        ("sparse", lambda x, y: y.tolist() == [0] * 6 + [1] * 4),
        ("binary", lambda x, y: y.tolist() == [0] * 6 + [1] * 4),
        ("input", lambda x, y: np.array_equal(x, y) and y is not x),
    ],
)
def test_class_modes(rock_paper, class_mode, check):
    iterator = flow(rock_paper(), class_mode=class_mode, shuffle=False, batch_size=-1)
    ((x, y),) = iterator
    assert y.dtype == np.float32
    assert check(x, y)


def test_no_class_mode_gives_images_only(rock_paper):
    assert [len(batch) for batch in flow(rock_paper(), class_mode=None)] == [1, 1, 1]


def test_all_folders_are_classes_by_default(rock_paper):
    iterator = flow(rock_paper({"b": 1, "a": 2, "_x": 1}), classes=None)
    assert iterator.class_indices == {"a": 0, "b": 1}


def test_chosen_classes_keep_their_ids(rock_paper):
    iterator = flow(rock_paper(), only=["paper"], class_mode="sparse", batch_size=-1)
    assert iterator[0][1].tolist() == [1] * 4
    with pytest.raises(SpecificationError, match=r"'papers'.*Did you mean 'paper'"):
        flow(rock_paper({"r": 1}), only=["papers"])


def test_images_are_resized_and_coloured(rock_paper):
    iterator = flow(rock_paper(size=(30, 40)), target_size=(15, 20), color_mode="rgb")
    assert iterator[0][0].shape == (4, 15, 20, 3)


def test_batch_size_of_the_generator_wins(rock_paper):
    root = rock_paper()
    assert flow(root, ParallelImageDataGenerator(batch_size=3)).batch_size == 3
    whole = flow(root, ParallelImageDataGenerator(batch_size=-1))
    assert (whole.batch_size, len(whole)) == (10, 1)
    assert flow(root, batch_shape=(5, 6, 8, 1))[0][0].shape == (5, 6, 8, 1)


def test_samples_per_class_can_be_limited(rock_paper):
    root = rock_paper()
    assert flow(root, max_samples_per_class=3).samples == 6
    assert flow(root, ParallelImageDataGenerator(max_samples_per_class=5)).samples == 9


def test_the_subsets_part_each_class_and_do_not_overlap(rock_paper):
    generator = ParallelImageDataGenerator(validation_split=0.5, debug=True)
    root = rock_paper()
    training, validation = (flow(root, generator, subset=s) for s in ("training", "validation"))
    assert validation.filenames == ["rock/0.png", "rock/1.png", "rock/2.png", "paper/0.png", "paper/1.png"]
    assert sorted(training.filenames + validation.filenames) == sorted(flow(root).filenames)


def test_validation_is_the_same_in_every_epoch_and_may_be_left_unaugmented(rock_paper):
    root = rock_paper()
    augmented = ParallelImageDataGenerator(validation_split=0.5, debug=True, **EVERYTHING)
    iterator = flow(root, augmented, subset="validation")
    assert data(iterator) == data(iterator)
    training = flow(root, augmented, subset="training")
    assert data(training) != data(training)
    plain = ParallelImageDataGenerator(validation_split=0.5, debug=True, samplewise_std_normalization=True)
    augmented.validation_augmentation_enabled = False
    assert data(flow(root, augmented, subset="validation")) == data(flow(root, plain, subset="validation"))
    augmented.random_transforms_enabled = False
    assert data(flow(root, augmented, subset="training")) == data(flow(root, plain, subset="training"))


def test_arrays_and_files_give_the_same_batches(rock_paper):
    root = rock_paper()
    files = flow(root, ParallelImageDataGenerator(debug=True, **EVERYTHING), class_mode="sparse")
    x = np.stack([np.asarray(Image.open(p)) for p in files.filepaths])[..., None]
    arrays = ParallelImageDataGenerator(cores=2, **EVERYTHING).flow(x, files.classes, batch_size=4)
    for (x1, y1), (x2, y2) in zip(files, arrays, strict=True):
        assert np.array_equal(x1, x2) and np.array_equal(y1, y2)


def test_array_validation_is_not_augmented_when_that_is_off():
    x = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 1), dtype=np.uint8)
    y = np.tile([0, 1], 5)
    generator = ParallelImageDataGenerator(
        validation_split=0.4, rotation_range=90, validation_augmentation_enabled=False, debug=True
    )
    ((validation, labels),) = generator.flow(x, y, subset="validation", shuffle=False)
    assert np.array_equal(validation, x[:4]) and labels.tolist() == [0, 1, 0, 1]
    assert not np.array_equal(generator.flow(x, y, subset="training", shuffle=False)[0][0], x[4:])


def test_arrays_keep_their_labels_and_weights():
    x = np.zeros((5, 2, 2, 1))
    y = np.arange(10).reshape(5, 2) / 10
    batch = ParallelImageDataGenerator().flow((x, y), sample_weight=np.arange(5), shuffle=False)[0]
    assert np.array_equal(batch[1], y) and batch[2].tolist() == [0, 1, 2, 3, 4]
    assert len(ParallelImageDataGenerator().flow(x)[0]) == 1


def test_unusable_arrays_are_refused():
    generator = ParallelImageDataGenerator(validation_split=0.5)
    with pytest.raises(DatasetError, match=r"\(4, 3, 3\).*x\[\.\.\., None\]"):
        generator.flow(np.zeros((4, 3, 3)))
    with pytest.raises(DatasetError, match="4 images, but y has 3"):
        generator.flow(np.zeros((4, 3, 3, 1)), np.zeros(3))
    with pytest.raises(DatasetError, match="one part of the validation split"):
        generator.flow(np.zeros((4, 3, 3, 1)), np.array([0, 0, 1, 1]), subset="training")
    generator.flow(np.zeros((4, 3, 3, 1)), np.array([0, 0, 1, 1]), subset="training", ignore_class_split=True)


def test_callbacks_get_what_their_signatures_name(rock_paper):
    seen = []

    def before(params, x, filename, class_id):
        seen.append((filename, class_id, x.shape, x.dtype, float(x.max())))
        return x

    def after(params, image, batch_class_ids, batch_index, batch_filenames=None, other=1):
        assert isinstance(params, ParallelProcessParams)
        assert (params.class_indices, params.subset) == ({"rock": 0, "paper": 1}, "validation")
        assert params.batch_shape == (4, 12, 16, 1) and params.split == (0.0, 0.5)
        assert params.image_data_generator is generator
        assert params.dtype == np.float32 and params.validation_split == 0.5
        assert len(batch_class_ids) == len(batch_filenames) == (4, 1)[batch_index]
        return image + 1000

    generator = ParallelImageDataGenerator(
        noaug_preprocessing_function=before,
        preprocessing_function=after,
        brightness_range=(0, 0),
        validation_split=0.5,
        cores=2,
    )
    iterator = flow(rock_paper(), generator, subset="validation", shuffle=False)
    assert np.concatenate([x for x, _ in iterator]).min() == 1000
    assert [(name, i) for name, i, *_ in sorted(seen)] == [
        ("paper/0.png", 1),
        ("paper/1.png", 1),
        ("rock/0.png", 0),
        ("rock/1.png", 0),
        ("rock/2.png", 0),
    ]
    assert all(shape == (12, 16, 1) and dtype == np.float32 and top > 200 for *_, shape, dtype, top in seen)


def test_images_of_different_sizes_may_be_brought_to_one_by_a_callback(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for i in range(6):
        np.save(tmp_path / "a" / f"{i}.npy", rng.normal(i, 1, (8 + i // 3, 5)).astype(np.float32))

    def batch(**settings):
        generator = ParallelImageDataGenerator(width_shift_range=(-1, 1), noise=["gauss"], **settings)
        iterator = generator.flow_from_directory(
            tmp_path, (4, 5), "grayscale", ["a"], "input", batch_size=4, shuffle=False, interpolation="none"
        )
        return iterator[0]

    x, y = batch(preprocessing_function=lambda params, image: image[:4])
    assert x.shape == (4, 4, 5, 1) and np.array_equal(x, y)
    assert np.array_equal(x, batch(preprocessing_function=lambda params, image: image[:4])[0])
    with pytest.raises(DatasetError, match=r"a/3\.npy' has the shape \(9, 5, 1\).*\(8, 5, 1\)"):
        batch(preprocessing_function=lambda params, image: image)
    with pytest.raises(DatasetError, match="interpolation 'none' does not resize it"):
        batch()


def test_a_sample_may_be_a_pair_of_images(rock_paper):
    def pairs(base_directory, search_class, **_):
        names = [f"{search_class}/{i}.png" for i in range(2)]
        return search_class, [(names[0], names[1]), (names[1], names[0])]

    root, seen = rock_paper(), []
    generator = ParallelImageDataGenerator(
        preprocessing_function=lambda params, x, filename: seen.append(filename) or x
    )
    options = {"shuffle": False, "list_valid_filenames_in_directory_function": pairs}
    iterator = flow(root, generator, **options)
    (first, second), y = iterator[0]
    assert first.shape == second.shape == (4, 12, 16, 1) and y.shape == (4, 2)
    assert np.array_equal(first[[1, 0]], second[[0, 1]]) and not np.array_equal(first, second)
    assert ("rock/0.png", "rock/1.png") in seen
    moving = flow(root, ParallelImageDataGenerator(noise=["gauss"]), **options)
    (first, second), _ = moving[0]
    assert not np.array_equal(first[[1, 0]], second[[0, 1]])


def test_a_callback_may_change_the_shape(rock_paper):
    generator = ParallelImageDataGenerator(debug=True, preprocessing_function=lambda params, x: x[::2, ::2])
    assert flow(rock_paper(), generator)[0][0].shape == (4, 6, 8, 1)


def test_an_error_in_a_callback_is_noted_with_the_file(rock_paper):
    def broken(params, x, filename):
        if filename == "rock/3.png":
            raise KeyError("mine")
        return x

    iterator = flow(rock_paper(), ParallelImageDataGenerator(preprocessing_function=broken, cores=2))
    with pytest.raises(KeyError) as caught:
        list(iterator)
    assert "rock/3.png" in caught.value.__notes__[0]


def test_results_of_different_shapes_are_refused(rock_paper):
    generator = ParallelImageDataGenerator(
        debug=True, preprocessing_function=lambda params, x, class_id: x[: 4 + class_id]
    )
    with pytest.raises(DatasetError, match=r"shape .* for '.*\.png'"):
        list(flow(rock_paper(), generator))


def test_unknown_arguments_of_callbacks_are_refused():
    with pytest.raises(SpecificationError, match=r"'classid'.*Did you mean 'class_id'"):
        ParallelImageDataGenerator(preprocessing_function=lambda params, x, classid: x)
    with pytest.raises(SpecificationError, match=r"\(params, x\)"):
        ParallelImageDataGenerator(noaug_preprocessing_function=lambda x: x)


def test_get_batch_function_makes_whole_batches(rock_paper):
    def make(batch_index, filenames, classes, params):
        assert len(filenames) == len(classes)
        return batch_index, (np.full((len(classes), 1), batch_index), np.asarray(classes))

    iterator = flow(rock_paper(), ParallelImageDataGenerator(get_batch_function=make), shuffle=False)
    batches = list(iterator)
    assert [x[0, 0] for x, _ in batches] == [0, 1, 2]
    assert np.concatenate([y for _, y in batches]).tolist() == [0] * 6 + [1] * 4


def test_steps_of_plugins_come_before_and_after_the_random_transforms(rock_paper):
    def darken(batch, rng):
        assert batch.shape == (4, 12, 16, 1) or batch.shape == (2, 12, 16, 1)
        return batch * 0

    def brighten(batch, rng):
        return batch + rng.integers(1, 5, (len(batch), 1, 1, 1))

    steps = [AugmentationStep("brighten", "after", brighten), AugmentationStep("darken", "before", darken)]
    generator = ParallelImageDataGenerator(augmentation_steps=steps, debug=True, validation_split=0.5)
    generator.validation_augmentation_enabled = False
    root = rock_paper()
    x = np.concatenate([x for x, _ in flow(root, generator)])
    assert set(np.unique(x).tolist()) <= {1.0, 2.0, 3.0, 4.0} and len(np.unique(x)) > 1
    assert flow(root, generator, subset="validation")[0][0].max() > 200


def test_a_step_does_not_move_the_other_draws(rock_paper):
    root = rock_paper()

    def same(batch, rng):
        rng.random(100)
        return batch

    plain = ParallelImageDataGenerator(debug=True, **EVERYTHING)
    stepped = ParallelImageDataGenerator(
        debug=True, augmentation_steps=[AugmentationStep("same", "before", same)], **EVERYTHING
    )
    assert data(flow(root, plain)) == data(flow(root, stepped))


def test_a_step_that_loses_images_is_named(rock_paper):
    step = AugmentationStep("halve", "after", lambda batch, rng: batch[::2])
    with pytest.raises(DatasetError, match="'halve'"):
        list(flow(rock_paper(), ParallelImageDataGenerator(debug=True, augmentation_steps=[step])))


def test_the_built_in_transforms_are_a_step_that_can_be_disabled_and_replaced(rock_paper):
    root = rock_paper()
    plain = data(flow(root))
    disabled = ParallelImageDataGenerator(
        debug=True, rotation_range=35, noise=["gauss"], disabled_augmentations=["image_transforms"]
    )
    assert data(flow(root, disabled)) == plain
    assert "disabled_augmentations: ['image_transforms']" in disabled.describe()
    step = AugmentationStep("image_transforms", "transform", lambda batch, rng: batch)
    replaced = ParallelImageDataGenerator(debug=True, rotation_range=35, augmentation_steps=[step])
    assert data(flow(root, replaced)) == plain
    with pytest.raises(SpecificationError, match=r"'transforms'.*Did you mean 'image_transforms'"):
        flow(root, ParallelImageDataGenerator(disabled_augmentations=["transforms"]))
    with pytest.raises(SpecificationError, match="must be a list of names, got 'image_transforms'"):
        ParallelImageDataGenerator(disabled_augmentations="image_transforms")


def test_a_step_gets_the_arguments_that_it_names(rock_paper):
    def by_class(batch, rng, class_ids, *, filenames):
        assert [name.split("/")[0] for name in filenames] == [("rock", "paper")[i] for i in class_ids]
        return batch * 0 + class_ids[:, None, None, None]

    generator = ParallelImageDataGenerator(
        debug=True, augmentation_steps=[AugmentationStep("by_class", "after", by_class)]
    )
    root = rock_paper()
    for x, y in flow(root, generator, class_mode="sparse"):
        assert x[:, 0, 0, 0].tolist() == y.tolist()
    step = AugmentationStep("demanding", "after", lambda batch, rng, filename: batch)
    with pytest.raises(SpecificationError, match=r"'demanding'.*'filename'.*Did you mean 'filenames'"):
        flow(root, ParallelImageDataGenerator(debug=True, augmentation_steps=[step]))[0]


def test_samplewise_normalisation_and_rescale():
    x = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)
    generator = ParallelImageDataGenerator(samplewise_std_normalization=True, rescale=1 / 255)
    out = generator.flow(x, shuffle=False)[0][0]
    assert out.mean(axis=(1, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert out.std(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-4)
    scaled = x / 255
    for got, image in zip(out, scaled, strict=True):
        assert got == pytest.approx((image - image.mean()) / (image.std() + 1e-6), abs=1e-4)
    assert generator.standardize(x[0]) == pytest.approx(out[0], abs=1e-5)
    constant = generator.flow(np.full((1, 4, 4, 1), 9), shuffle=False)[0][0]
    assert not constant.any()


def test_featurewise_normalisation_uses_what_fit_learned():
    x = np.random.default_rng(0).normal([10, 100], [1, 5], (50, 6, 6, 2)).astype(np.float32)
    generator = ParallelImageDataGenerator(featurewise_std_normalization=True)
    with pytest.raises(SpecificationError, match=r"fit\(x\)"):
        generator.flow(x)
    generator.fit(x)
    assert generator.mean == pytest.approx(x.mean(axis=(0, 1, 2))[None, None], abs=1e-3)
    out = generator.flow(x, batch_size=-1, shuffle=False)[0][0]
    assert out.mean(axis=(0, 1, 2)) == pytest.approx([0, 0], abs=1e-3)
    assert out.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=1e-3)


def test_fit_may_learn_from_augmented_images():
    generator = ParallelImageDataGenerator(featurewise_center=True, brightness_range=(0.5, 0.5))
    generator.fit(np.full((3, 2, 2, 1), 100.0), augment=True, rounds=2)
    assert generator.mean == pytest.approx(50)


def test_zca_whitening_decorrelates_the_pixels():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2000, 9)) @ rng.normal(size=(9, 9))).reshape(-1, 3, 3, 1).astype(np.float32)
    generator = ParallelImageDataGenerator(zca_whitening=True)
    generator.fit(x)
    white = generator.flow(x, batch_size=-1, shuffle=False)[0][0].reshape(len(x), -1)
    assert np.cov(white.T) == pytest.approx(np.eye(9), abs=0.02)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", [0, 3, 255]), ("int8", [-5, 3, 127]), ("float64", None)]
)
def test_dtype_of_the_images(dtype, expected):
    x = np.array([-5, 2.6, 300], np.float32).reshape(1, 1, 3, 1)
    out = ParallelImageDataGenerator(dtype=dtype).flow(x)[0][0]
    assert out.dtype == np.dtype(dtype)
    if expected:
        assert out.ravel().tolist() == expected


def test_channels_first():
    x = np.random.default_rng(0).uniform(0, 255, (4, 3, 8, 10))
    generator = ParallelImageDataGenerator(data_format="channels_first", rotation_range=1e-9)
    assert generator.flow(x, shuffle=False)[0][0] == pytest.approx(x, abs=0.01)
    assert generator.random_transform(x[0]) == pytest.approx(x[0], abs=0.01)


def test_random_transform_of_one_image_depends_on_the_seed():
    image = np.random.default_rng(0).uniform(0, 255, (8, 8, 1))
    generator = ParallelImageDataGenerator(rotation_range=30)
    assert np.array_equal(generator.random_transform(image, 1), generator.random_transform(image, 1))
    assert not np.array_equal(generator.random_transform(image, 1), generator.random_transform(image, 2))


def test_images_are_saved_before_they_are_standardised(rock_paper, tmp_path):
    out = tmp_path / "out"
    generator = ParallelImageDataGenerator(
        samplewise_std_normalization=True, horizontal_flip=True, save_to_dir=out, save_prefix="aug"
    )
    iterator = flow(rock_paper(), generator)
    list(iterator)
    saved = sorted(out.iterdir())
    assert len(saved) == 10 and saved[0].name == "aug_0_0.png"
    first = np.asarray(Image.open(saved[0]))
    original = np.asarray(Image.open(iterator.filepaths[0]))
    assert np.array_equal(first, original) or np.array_equal(first, original[:, ::-1])


def test_the_data_set_folder_is_not_written_to(rock_paper):
    root = rock_paper()
    before = sorted(root.rglob("*"))
    list(flow(root))
    assert sorted(root.rglob("*")) == before


def test_a_damaged_image_among_good_ones_is_named(rock_paper):
    root = rock_paper(file_format="jpg")
    damaged = root / "rock" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"rock/3\.jpg' cannot be read"):
        list(flow(root, ParallelImageDataGenerator(cores=2)))


def test_missing_folders_are_refused(rock_paper, tmp_path):
    with pytest.raises(DatasetError, match="nowhere"):
        flow(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="lizard"):
        flow(rock_paper(), classes=["rock", "lizard"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no folders"):
        flow(tmp_path / "empty", classes=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": ["gaus"]}, r"'gauss', 'poisson', 's&p', 'speckle'.*Did you mean 'gauss'"),
        ({"noise_strength": {"gaus": 1}}, "'gaus'"),
        ({"noise": ["gauss"], "noise_strength": -1}, "noise_strength"),
        ({"noise": ["s&p"], "noise_strength": 1000}, "s&p"),
        ({"rotation_range": "35"}, "rotation_range"),
        ({"rotation_range": -1}, "rotation_range"),
        ({"width_shift_range": [1, "a"]}, "width_shift_range"),
        ({"height_shift_range": -2}, "height_shift_range"),
        ({"brightness_range": 0.5}, "brightness_range"),
        ({"brightness_range": (1.5, 0.5)}, "brightness_range"),
        ({"contrast_range": (-1, 1)}, "contrast_range"),
        ({"zoom_range": 1.0}, "zoom_range"),
        ({"zoom_range": (1, 2, 3)}, "zoom_range"),
        ({"fill_mode": "mirror"}, r"'nearest', 'constant', 'reflect', 'wrap'"),
        ({"interpolation_order": -1}, "interpolation_order"),
        ({"data_format": "last"}, "channels_last"),
        ({"dtype": "flaot32"}, "flaot32"),
        ({"validation_split": 1.0}, "validation_split"),
        ({"preprocessing_function": 3}, "preprocessing_function"),
        ({"cores": 0}, "cores"),
        ({"max_batches_pending": 0}, "max_batches_pending"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_samples_per_class": 1.5}, "max_samples_per_class"),
        ({"save_format": "gif2"}, "save_format"),
        ({"value_range": (1, 1)}, "value_range"),
        ({"rescale": float("nan")}, "rescale"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(SpecificationError, match=message):
        ParallelImageDataGenerator(**settings)


def test_a_setting_that_is_spoilt_later_is_refused_when_it_is_used():
    generator = ParallelImageDataGenerator()
    generator.noise = ["loud"]
    with pytest.raises(SpecificationError, match="loud"):
        generator.flow(np.zeros((1, 2, 2, 1)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"subset": "test"},
        {"class_mode": "other"},
        {"color_mode": "gray"},
        {"interpolation": "linear"},
        {"seed": -1},
    ],
)
def test_wrong_arguments_are_refused(rock_paper, arguments):
    with pytest.raises(SpecificationError, match=next(iter(arguments))):
        flow(rock_paper(), **arguments)


def test_describe_names_what_was_set():
    assert ParallelImageDataGenerator().describe() == ""
    described = ParallelImageDataGenerator(rotation_range=5, noise=["gauss"], preprocessing_function=flow)
    assert described.describe() == "rotation_range: 5\nnoise: ['gauss']\npreprocessing_function: flow"


def test_files_are_read_by_the_rules_of_the_settings_and_reported_after_the_first_reading(rock_paper, caplog):
    root = rock_paper()
    clear = Image.fromarray(np.zeros((12, 16, 4), np.uint8))
    clear.save(root / "rock" / "clear.png")
    clear.convert("RGB").save(root / "rock" / "a.GIF")
    (root / "rock" / "b.heic").touch()
    count = len(flow(root).filenames)
    assert "1 .heic" in caplog.text
    caplog.clear()
    iterator = flow(root, ParallelImageDataGenerator(cores=1), batch_size=3)
    assert {"rock/clear.png", "rock/a.GIF"} < set(iterator.filenames)
    for _ in range(2):
        list(iterator)
    assert [r.getMessage().split(". Set")[0] for r in caplog.records] == [
        f"Images with transparent parts, of which the alpha channel is dropped: 'rock/clear.png' (1 of {count} files)"
    ]
    caplog.clear()
    iterator = flow(root, ParallelImageDataGenerator(alpha_background=77, cores=1), shuffle=False)
    images = np.concatenate([x for x, _ in iterator])
    assert images[iterator.filenames.index("rock/clear.png")].max() == 77
    assert not caplog.records


def test_unusable_files_are_all_named(rock_paper):
    root = rock_paper()
    for name in ("rock/cut.png", "paper/text.jpg"):
        (root / name).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"(cut.*text|text.*cut)"):
        list(flow(root))


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha_background": (1, 2)},
        {"alpha_background": 256},
        {"alpha_background": "white"},
        {"exif_orientation": "upright"},
        {"value_bits": 8},
        {"value_bits": 33},
    ],
)
def test_wrong_rules_for_reading_are_refused(settings):
    with pytest.raises(SpecificationError, match=next(iter(settings))):
        ParallelImageDataGenerator(**settings)
