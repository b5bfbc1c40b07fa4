"""`ParallelAudioDataGenerator`: batches, order, classes, callbacks, settings."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator as ByReferenceName
from mltk.data import DEFAULT_SEED
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep
from mltk_plugin_audio import (
    AudioFeatureGenerator,
    AudioFeatureGeneratorSettings,
    ParallelAudioDataGenerator,
    ParallelProcessParams,
)

CLASSES = ["yes", "no"]

EVERYTHING = {
    "speed_range": (0.9, 1.1),
    "pitch_range": (-0.1, 0.1),
    "vtlp_range": (0.9, 1.1),
    "loudness_range": (0.5, 1.0),
    "noise_colors": "all",
    "noise_color_range": (0.0, 0.1),
    "bg_noise_dir": "_background_noise_",
    "bg_noise_range": (0.0, 0.3),
    "time_shift_range_ms": (-50, 50),
    "frequency_masks": (1, 4),
    "time_masks": (1, 10),
    "probabilities": {"pitch": 0.5},
}


def samples_only(**settings):
    """Return a generator without front end."""
    return ParallelAudioDataGenerator(
        **{"frontend_enabled": False, "sample_shape": (16000,), "cores": 1, **settings}
    )


def epoch(iterator):
    return [np.concatenate(part) for part in zip(*iterator, strict=True)]


def test_the_generator_is_importable_under_the_name_of_the_reference():
    assert ByReferenceName is ParallelAudioDataGenerator
    from mltk.core.preprocess.audio.parallel_generator import ParallelProcessParams as params

    assert params is ParallelProcessParams


def test_spectrograms_are_those_of_the_front_end(recordings):
    root = recordings()
    generator = ParallelAudioDataGenerator(disable_random_transforms=True, trim_threshold_db=0)
    iterator = generator.flow_from_directory(root, CLASSES, shuffle=False)
    x, y = iterator[0]
    assert x.shape == (16, 98, 32, 1) and x.dtype == np.float32 and y.shape == (16, 2)
    assert generator.sample_shape == (98, 32) and iterator.sample_shape == (98, 32, 1)
    samples, _ = soundfile.read(iterator.filepaths[3], dtype="float32")
    frontend = AudioFeatureGenerator(AudioFeatureGeneratorSettings())
    expected = frontend.process_sample(np.pad(samples, (0, 8000)))
    assert np.array_equal(x[3, :, :, 0], expected)
    assert np.array_equal(generator.apply_frontend(np.pad(samples, (0, 8000))), expected)


def test_the_iterator_describes_its_samples(recordings):
    counts = {}
    iterator = ParallelAudioDataGenerator().flow_from_directory(
        recordings(), CLASSES, batch_size=5, class_counts=counts
    )
    assert counts == {"yes": 8, "no": 8}
    assert (iterator.samples, iterator.n, iterator.max_samples, len(iterator)) == (16, 16, 16, 4)
    assert (iterator.batch_size, iterator.num_classes, iterator.seed) == (5, 2, DEFAULT_SEED)
    assert iterator.class_indices == {"yes": 0, "no": 1}
    assert iterator.classes.tolist() == iterator.labels.tolist() == [0] * 8 + [1] * 8
    assert iterator.filenames[0] == "yes/a_nohash_0.wav"
    iterator.shutdown()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_bytes_for_any_number_of_workers_and_repeated(recordings, workers):
    root = recordings(noise=True)

    def two_epochs(cores, **extra):
        generator = ParallelAudioDataGenerator(**EVERYTHING, cores=cores, **extra)
        with generator.flow_from_directory(root, [*CLASSES, "_silence_"], batch_size=5, seed=7) as iterator:
            return epoch(iterator) + epoch(iterator)

    reference = two_epochs(1, debug=True)
    for a, b in zip(reference, two_epochs(workers), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(reference[0], reference[2])


def test_another_seed_gives_other_samples(recordings):
    root = recordings()

    def x(seed):
        return samples_only(noise_colors=["white"], noise_color_range=(0.1, 0.1)).flow_from_directory(
            root, CLASSES, seed=seed, shuffle=False
        )[0][0]

    assert np.array_equal(x(1), x(1)) and not np.array_equal(x(1), x(2))


def test_every_sample_comes_exactly_once_in_an_epoch(recordings):
    seen = []
    generator = samples_only(noaug_preprocessing_function=lambda p, x, filename: seen.append(filename) or x)
    iterator = generator.flow_from_directory(recordings(), CLASSES, batch_size=5)
    assert [len(x) for x, _ in iterator] == [5, 5, 5, 1]
    assert sorted(seen) == sorted(iterator.filenames)
    first = list(seen)
    seen.clear()
    list(iterator)
    assert sorted(seen) == sorted(first) and seen != first


def test_closing_in_mid_epoch_leaves_no_thread(recordings):
    before = set(threading.enumerate())
    iterator = ParallelAudioDataGenerator(cores=4).flow_from_directory(recordings(), CLASSES, batch_size=2)
    batches = iter(iterator)
    next(batches)
    assert set(threading.enumerate()) != before
    iterator.close()
    assert set(threading.enumerate()) == before


def test_validation_is_the_same_in_every_epoch_and_may_be_unaugmented(recordings):
    root = recordings(noise=True)
    augmented = ParallelAudioDataGenerator(**EVERYTHING, validation_split=0.5)
    iterator = augmented.flow_from_directory(root, CLASSES, subset="validation")
    assert all(np.array_equal(a, b) for a, b in zip(epoch(iterator), epoch(iterator), strict=True))
    plain = ParallelAudioDataGenerator(
        **EVERYTHING, validation_split=0.5, validation_augmentation_enabled=False
    )
    default = ParallelAudioDataGenerator(disable_random_transforms=True, validation_split=0.5)
    first, second = (
        epoch(g.flow_from_directory(root, CLASSES, subset="validation"))[0] for g in (plain, default)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, epoch(iterator)[0])


def test_no_speaker_is_in_both_parts_of_a_split_of_any_class(recordings):
    root = recordings({"yes": 20, "no": 20, "maybe": 13}, speakers=5)
    generator = ParallelAudioDataGenerator(validation_split=0.4)
    speakers = {}
    names = {}
    for subset in ("training", "validation"):
        iterator = generator.flow_from_directory(root, ["yes", "no", "maybe"], subset=subset)
        names[subset] = iterator.filenames
        speakers[subset] = {name.split("/")[1][0] for name in iterator.filenames}
    assert not speakers["training"] & speakers["validation"]
    assert len(names["training"]) + len(names["validation"]) == 53
    assert len(speakers["validation"]) == 2


@pytest.mark.parametrize("split", [0.01, 0.99])
def test_both_parts_of_a_split_have_a_speaker(recordings, split):
    generator = ParallelAudioDataGenerator(validation_split=split)
    root = recordings()
    for subset in ("training", "validation"):
        assert generator.flow_from_directory(root, CLASSES, subset=subset).samples


def test_the_recordings_of_a_single_speaker_are_split_too(recordings):
    root = recordings({"yes": 8, "no": 8}, speakers=1)
    generator = ParallelAudioDataGenerator(validation_split=0.25)
    sizes = [
        generator.flow_from_directory(root, ["yes", "no"], subset=subset).samples
        for subset in ("training", "validation")
    ]
    assert sizes == [12, 4]


def test_unknown_and_silence_have_the_requested_sizes(recordings):
    counts = {}
    root = recordings({"yes": 12, "no": 8, "maybe": 20, "never": 3}, noise=True)
    generator = ParallelAudioDataGenerator(unknown_class_percentage=0.8, silence_class_percentage=0.3)
    iterator = generator.flow_from_directory(
        root, ["yes", "no", "_unknown_", "_silence_"], class_counts=counts, shuffle=False
    )
    assert counts == {"yes": 12, "no": 8, "_unknown_": 8, "_silence_": 3}
    unknown = [name.split("/")[0] for name in iterator.filenames[20:28]]
    assert sorted(unknown) == ["maybe"] * 5 + ["never"] * 3
    assert iterator.filenames[28:] == ["_silence_"] * 3
    _, y = iterator[0]
    assert not y[28:, :3].any() and y[28:, 3].all()


def test_silence_is_zeros_until_noise_is_mixed_in(recordings):
    root = recordings(noise=True)
    classes = ["yes", "_silence_"]
    quiet = samples_only().flow_from_directory(root, classes, shuffle=False)[0]
    assert not quiet[0][quiet[1][:, 1] == 1].any()
    noisy = samples_only(bg_noise_dir="_background_noise_", bg_noise_range=(0.5, 0.5))
    x, y = noisy.flow_from_directory(root, classes, shuffle=False)[0]
    level = np.sqrt(np.mean(x[y[:, 1] == 1] ** 2, axis=1))
    assert level == pytest.approx(np.full(len(level), 0.1), rel=0.05)


def test_augmentations_may_be_switched_off_for_a_class(recordings):
    root = recordings()
    generator = samples_only(
        noise_colors=["white"],
        noise_color_range=(0.1, 0.1),
        offset_range=(0, 0),
        trim_threshold_db=0,
        class_augmentations={"no": []},
    )
    x, y = generator.flow_from_directory(root, CLASSES, shuffle=False)[0]
    tail = np.abs(x[:, 8000:]).max(axis=1)
    assert (tail[y[:, 0] == 1] > 0.1).all() and not tail[y[:, 1] == 1].any()


def test_offsets_cover_the_whole_range(recordings):
    root = recordings({"yes": 200}, seconds=0.25)
    x, _ = samples_only(trim_threshold_db=0).flow_from_directory(root, ["yes"], batch_size=200)[0]
    starts = (np.abs(x) > 0).argmax(axis=1) / 12000
    assert starts.min() < 0.03 and starts.max() > 0.97
    assert np.quantile(starts, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.1)
    x, _ = samples_only(trim_threshold_db=0, offset_range=(0.5, 0.5)).flow_from_directory(root, ["yes"])[0]
    assert (np.abs(x) > 0).argmax(axis=1) == pytest.approx(np.full(len(x), 6000), abs=2)


def test_long_recordings_are_cropped_at_the_offset(tmp_path):
    (tmp_path / "ramp").mkdir()
    soundfile.write(tmp_path / "ramp" / "a.wav", np.linspace(0, 1, 32000), 16000)
    generator = samples_only(trim_threshold_db=0, offset_range=(0.25, 0.25))
    x, _ = generator.flow_from_directory(tmp_path, ["ramp"])[0]
    assert x[0, 0] == pytest.approx(4000 / 32000, abs=1e-3)


def test_recordings_of_other_rates_are_resampled(recordings):
    x, _ = samples_only(disable_random_transforms=True).flow_from_directory(
        recordings(rate=44100), CLASSES, shuffle=False
    )[0]
    spectrum = np.abs(np.fft.rfft(x[:, :8000], axis=1)).argmax(axis=1) * 2
    assert spectrum[:8] == pytest.approx(300, abs=3) and spectrum[8:] == pytest.approx(600, abs=3)


@pytest.mark.parametrize(
    ("mode", "shape"), [("categorical", (16, 2)), ("sparse", (16,)), ("binary", (16,)), ("input", None)]
)
def test_class_modes(recordings, mode, shape):
    x, y = ParallelAudioDataGenerator().flow_from_directory(recordings(), CLASSES, class_mode=mode)[0]
    assert y.shape == (shape or x.shape) and y.dtype == np.float32
    if mode == "input":
        assert np.array_equal(x, y)


def test_without_labels_a_batch_holds_only_x(recordings):
    assert (
        len(ParallelAudioDataGenerator().flow_from_directory(recordings(), CLASSES, class_mode=None)[0]) == 1
    )


def test_callbacks_get_what_their_signature_names(recordings):
    seen = {}

    def noaug(params, x, class_id, filename):
        seen["noaug"] = (params, x.copy(), class_id, filename)
        return x * 0.5

    def pre(params, x, *, batch_index, batch_class_ids):
        seen["pre"] = (x.shape, x.dtype, batch_index, len(batch_class_ids))
        return x

    def post(params, x, **everything):
        seen["post"] = (x.shape, sorted(everything))
        return x * 0 + 3

    generator = ParallelAudioDataGenerator(
        noaug_preprocessing_function=noaug,
        preprocessing_function=pre,
        postprocessing_function=post,
        rescale=2,
    )
    x, _ = generator.flow_from_directory(recordings(rate=8000), CLASSES, shuffle=False)[0]
    params, raw, class_id, filename = seen["noaug"]
    assert isinstance(params, ParallelProcessParams) and params.sample_rate == 16000
    assert params.class_indices == {"yes": 0, "no": 1} and params.audio_data_generator.rescale == 2
    assert params.dtype == np.float32 and params.noaug_preprocessing_function is noaug
    assert copy.copy(params).rescale == 2 and not hasattr(params, "no_such_setting")
    assert raw.shape == (4000,) and raw.dtype == np.float32 and np.abs(raw).max() > 0.2
    assert (class_id, filename) == (1, "no/d_nohash_1.wav")
    assert seen["pre"] == ((16000,), np.float32, 0, 16)
    assert seen["post"] == (
        (98, 32),
        ["batch_class_ids", "batch_filenames", "batch_index", "class_id", "filename"],
    )
    assert (x == 6).all()


def test_a_callback_may_change_the_shape_of_all_spectrograms_alike(recordings):
    root = recordings()
    generator = ParallelAudioDataGenerator(postprocessing_function=lambda p, x: x[:10])
    assert generator.flow_from_directory(root, CLASSES)[0][0].shape == (16, 10, 32, 1)
    lengths = iter(range(1, 99))
    generator = ParallelAudioDataGenerator(postprocessing_function=lambda p, x: x[: next(lengths)])
    with pytest.raises(DatasetError, match=r"<lambda>.*shape"):
        generator.flow_from_directory(root, CLASSES)[0]


def test_an_exception_of_a_callback_keeps_its_class_and_names_the_file(recordings):
    def fails(params, x):
        raise KeyError("oops")

    iterator = ParallelAudioDataGenerator(preprocessing_function=fails, cores=2).flow_from_directory(
        recordings(), CLASSES
    )
    with pytest.raises(KeyError) as caught:
        list(iterator)
    assert "nohash" in caught.value.__notes__[0]


def test_get_batch_function_makes_whole_batches(recordings):
    def make(index, filenames, classes, params):
        return index, (np.full((len(filenames), 2), index), np.asarray(classes))

    iterator = ParallelAudioDataGenerator(get_batch_function=make).flow_from_directory(
        recordings(), CLASSES, batch_size=10
    )
    assert [x[0, 0] for x, _ in iterator] == [0, 1]


def test_steps_of_plugins_run_on_clips_and_on_spectrograms(recordings):
    order = []

    def note(name, factor):
        def apply(batch, rng):
            order.append((name, batch.shape, batch.dtype))
            return batch * factor

        return apply

    generator = ParallelAudioDataGenerator(
        augmentation_steps=[
            AugmentationStep("a", "before", note("a", 1)),
            AugmentationStep("b", "after", note("b", 0)),
            AugmentationStep("c", "before", note("c", 1), domain="spectrogram"),
            AugmentationStep("d", "after", note("d", 0), domain="spectrogram"),
        ],
        frontend_dtype="uint16",
    )
    x, _ = generator.flow_from_directory(recordings(), CLASSES)[0]
    clip, picture = (16, 16000), (16, 98, 32)
    assert order == [
        ("a", clip, np.float32),
        ("b", clip, np.float32),
        ("c", picture, np.float32),
        ("d", picture, np.float32),
    ]
    assert not x.any()
    assert "augmentation_steps: ['a', 'b', 'c', 'd']" in generator.describe()


def test_built_in_transforms_are_steps_that_can_be_replaced_and_disabled(recordings):
    root = recordings()
    settings = {"noise_colors": ["white"], "noise_color_range": (0.1, 0.1), "offset_range": (0, 0)}
    seen = {}

    def replacement(batch, rng, spans, transforms, class_ids):
        seen.update(spans=spans.copy(), colors=transforms.noise_color, ids=class_ids)
        return batch

    def make(**more):
        return samples_only(**settings, **more).flow_from_directory(root, CLASSES, shuffle=False)[0][0]

    generator = ParallelAudioDataGenerator(time_masks=(1, 4))
    assert [step.name for step in generator.active_steps()] == ["audio_transforms", "spectrogram_masks"]
    own = AugmentationStep("audio_transforms", "transform", replacement, domain="audio")
    replaced = make(augmentation_steps=[own])
    assert np.array_equal(replaced, make(disabled_augmentations=["audio_transforms"]))
    assert not np.array_equal(replaced, make())
    assert (seen["colors"] == 0).all() and seen["ids"].tolist() == [0] * 8 + [1] * 8
    assert (seen["spans"][:, 0] == 0).all() and (np.abs(seen["spans"][:, 1] - 8000) < 200).all()
    with pytest.raises(SpecificationError, match="Did you mean 'audio_transforms'"):
        make(disabled_augmentations=["audio_transform"])


def test_masks_remain_when_the_transforms_of_clips_are_disabled(recordings):
    root = recordings()

    def make(**settings):
        generator = ParallelAudioDataGenerator(trim_threshold_db=None, **settings)
        return generator.flow_from_directory(root, CLASSES, shuffle=False)[0][0]

    plain = make(disable_random_transforms=True)
    masked = make(time_masks=(1, 40), disabled_augmentations=["audio_transforms"])
    changed = (plain != masked).any(axis=(2, 3))
    assert 0 < changed.mean() < 0.5
    disabled = ["audio_transforms", "spectrogram_masks"]
    assert np.array_equal(plain, make(time_masks=(1, 40), disabled_augmentations=disabled))


@pytest.mark.parametrize(
    ("settings", "dtype", "limits"),
    [
        ({}, np.float32, (0, 1000)),
        ({"dtype": np.int8}, np.int8, (-128, 127)),
        ({"dtype": np.uint16}, np.uint16, (0, 1000)),
        ({"frontend_dtype": np.int8}, np.float32, (-128, 127)),
        ({"dtype": np.float64}, np.float64, (0, 1000)),
        ({"dtype": np.int8, "rescale": 0.001, "frontend_dtype": "float32"}, np.int8, (0, 1)),
        ({"samplewise_normalize_range": (-1, 1)}, np.float32, (-1, 1)),
    ],
)
def test_types_and_normalisation(recordings, settings, dtype, limits):
    generator = ParallelAudioDataGenerator(**settings)
    x, _ = generator.flow_from_directory(recordings(), CLASSES)[0]
    assert x.dtype == dtype
    assert limits[0] <= x.min() < x.max() <= limits[1]


def test_samplewise_standardisation(recordings):
    generator = ParallelAudioDataGenerator(samplewise_std_normalization=True)
    assert generator.samplewise_center
    x, _ = generator.flow_from_directory(recordings(), CLASSES)[0]
    assert x.mean(axis=(1, 2, 3)) == pytest.approx(np.zeros(16), abs=1e-4)
    assert x.std(axis=(1, 2, 3)) == pytest.approx(np.ones(16), rel=1e-3)
    raw = np.random.default_rng(0).uniform(0, 600, (98, 32))
    assert generator.standardize(raw).std() == pytest.approx(1, rel=1e-3)


def test_without_channel_dimension_and_front_end(recordings):
    root = recordings()
    flat = ParallelAudioDataGenerator(add_channel_dimension=False)
    assert flat.flow_from_directory(root, CLASSES)[0][0].shape == (16, 98, 32)
    assert samples_only(sample_shape=(100, 160, 1)).flow_from_directory(root, CLASSES)[0][0].shape == (
        16,
        100,
        160,
        1,
    )
    with pytest.raises(SpecificationError, match=r"sample_shape is \(7,\).*16000"):
        samples_only(sample_shape=(7,)).flow_from_directory(root, CLASSES)[0]


def test_rate_and_length_are_those_of_the_front_end():
    generator = ParallelAudioDataGenerator()
    assert (generator.sample_rate_hz, generator.sample_length_ms, generator.sample_length) == (
        16000,
        1000,
        16000,
    )
    generator.sample_rate_hz = 8000
    generator.sample_length_ms = 500
    assert generator.sample_length == 4000 == generator.frontend_settings.sample_length


def test_settings_changed_later_do_not_change_an_iterator(recordings):
    generator = ParallelAudioDataGenerator()
    iterator = generator.flow_from_directory(recordings(), CLASSES)
    generator.sample_length_ms = 300
    assert iterator[0][0].shape == (16, 98, 32, 1)


def test_single_recordings_can_be_transformed(tone, recordings):
    generator = ParallelAudioDataGenerator(
        loudness_range=(0.5, 0.6), pitch_range=(1, 2), noise_colors=["pink"], noise_color_range=(0.1, 0.1)
    )
    default = generator.default_transform
    assert default["noise_color"] == "none" and default["bg_noise"] is None
    assert (default["speed_factor"], default["pitch_factor"], default["vtlp_factor"]) == (1.0, 0, 1.0)
    assert (default["offset_percentage"], default["loudness_factor"]) == (0.0, 1.0)
    drawn = generator.get_random_transform()
    assert drawn.keys() == default.keys()
    assert 0.5 <= drawn["loudness_factor"] <= 0.6 and drawn["noise_color"] == "pink"
    assert drawn != generator.get_random_transform()
    quiet = generator.apply_transform(tone(440, 0.5), 16000, {"loudness_factor": 0.5})
    assert quiet.shape == (16000,) and np.abs(quiet).max() == pytest.approx(0.25, abs=0.01)
    faster = generator.apply_transform(tone(440), 16000, {"speed_factor": 2.0}, whole_sample=True)
    assert len(faster) == pytest.approx(8000, abs=500)
    with pytest.raises(SpecificationError, match="Did you mean 'speed_factor'"):
        generator.apply_transform(tone(440), 16000, {"speed_facto": 2.0})


def test_a_batch_function_uses_background_noises_and_adds_its_own(recordings):
    def get_batch(batch_index, filenames, classes, params):
        assert [name for name, i in zip(filenames, classes, strict=True) if i == 2] == [""] * 8
        assert (Path(params.directory) / filenames[0]).is_file()
        generator = params.audio_data_generator
        generator.bg_noises["loud"] = np.full(20000, 0.5, np.float32)
        drawn = generator.get_random_transform()
        assert drawn["bg_noise"] in generator.bg_noises
        hiss = generator.apply_transform(np.zeros(100), 16000, {"bg_noise": "hiss", "bg_noise_factor": 2.0})
        assert hiss.std() == pytest.approx(2 * generator.bg_noises["hiss"].std(), rel=0.1)
        loud = generator.apply_transform(np.zeros(100), 16000, {"bg_noise": "loud", "bg_noise_factor": 1.0})
        x = np.zeros((len(filenames), *params.sample_shape), params.dtype) + loud.max()
        return batch_index, (x, np.eye(len(params.class_indices))[classes])

    generator = ParallelAudioDataGenerator(
        bg_noise_dir="_background_noise_",
        bg_noise_range=(0.5, 0.5),
        get_batch_function=get_batch,
        silence_class_percentage=1,
    )
    classes = [*CLASSES, "_silence_"]
    x, y = generator.flow_from_directory(recordings(noise=True), classes, shuffle=False)[0]
    assert np.all(x == 0.5) and y.shape == (24, 3)
    assert "loud" not in ParallelAudioDataGenerator().bg_noises


def test_single_recordings_can_be_brought_to_length(tone):
    generator = ParallelAudioDataGenerator(trim_threshold_db=None)
    x = generator.adjust_length(tone(440, 0.5, 8000), 8000, offset=1.0)
    assert x.shape == (16000,) and not x[:7990].any() and np.abs(x[8010:]).max() > 0.4
    assert len(generator.adjust_length(tone(440, 0.5), orignal_sr=16000, whole_sample=True)) == 8000
    assert generator.adjust_length(tone(440), 16000, out_length=5).shape == (5,)


def test_decoded_recordings_are_cached_within_the_limit(recordings, monkeypatch):
    from mltk_plugin_audio import _batches

    reads = []
    original = _batches.read_recording
    monkeypatch.setattr(_batches, "read_recording", lambda *a: reads.append(a) or original(*a))
    root = recordings()
    # Half a second of 16-bit samples is 16,000 bytes.
    for room, expected in ((0, 32), (8 * 16000, 16 + 8), (10**6, 16)):
        reads.clear()
        iterator = ParallelAudioDataGenerator(cache_bytes=room).flow_from_directory(root, CLASSES)
        a, b = epoch(iterator)[0], epoch(iterator)[0]
        assert a.shape == b.shape and len(reads) == expected


def test_callbacks_do_not_change_cached_recordings(recordings):
    def zero(params, x):
        x[:] = 0
        return x

    iterator = samples_only(noaug_preprocessing_function=zero).flow_from_directory(recordings(), CLASSES)
    list(iterator)
    iterator.batches.generator.noaug_preprocessing_function = None
    assert all(np.abs(x).max(axis=1).min() > 0.1 for x, _ in iterator)


def test_only_some_classes_keep_their_ids(recordings):
    counts = {}
    iterator = ParallelAudioDataGenerator(silence_class_percentage=0.5).flow_from_directory(
        recordings(), [*CLASSES, "_silence_"], only=["no", "_silence_"], class_counts=counts
    )
    assert counts == {"no": 8, "_silence_": 4}
    assert sorted(iterator.classes.tolist()) == [1] * 8 + [2] * 4


def test_preview_writes_clips_to_hear_and_pictures_to_see(recordings, tmp_path):
    from PIL import Image

    generator = ParallelAudioDataGenerator(**EVERYTHING)
    written = generator.preview(recordings(noise=True), tmp_path / "out", n=3, classes=CLASSES)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        w.rpartition("/")[2] for w in written
    )
    assert [w.rpartition(".")[2] for w in written] == ["wav"] * 3 + ["png"] * 3
    info = soundfile.info(written[0])
    assert (info.frames, info.samplerate) == (16000, 16000)
    with Image.open(written[3]) as picture:
        assert picture.size == (4 * 98, 4 * 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speedrange": (0.9, 1.1)}, "no setting 'speedrange'.*Did you mean 'speed_range'"),
        ({"speed_range": 1.2}, "speed_range must be a pair"),
        ({"speed_range": (0, 1)}, "speed_range must hold factors above 0"),
        ({"speed_range": (1.2, 0.8)}, "speed_range"),
        ({"vtlp_range": (-1, 1)}, "vtlp_range"),
        ({"pitch_range": (-40, 40)}, "36 semitones"),
        ({"noise_colors": "none"}, "noise_colors must be a list"),
        ({"noise_colors": ["pinc"]}, "Did you mean 'pink'"),
        ({"noise_color_range": (-1, 1)}, "noise_color_range"),
        ({"offset_range": (0.5, 1.5)}, "offset_range must be at most 1"),
        ({"trim_threshold_db": -3}, "trim_threshold_db"),
        ({"unknown_class_percentage": -1}, "unknown_class_percentage"),
        ({"silence_class_percentage": "x"}, "silence_class_percentage"),
        ({"validation_split": 1.0}, "below 1"),
        ({"probabilities": {"spead": 0.5}}, "Did you mean 'speed'"),
        ({"probabilities": {"speed": 1.5}}, "probabilities of 'speed' must be at most 1"),
        ({"class_augmentations": {"yes": ["noise_colour"]}}, "Did you mean 'noise_color'"),
        ({"frequency_masks": 3}, "number, maximum width"),
        ({"bg_noise_range": (0, 1), "bg_noise_snr_db_range": (0, 1)}, "exclude each other"),
        ({"frontend_enabled": False}, "sample_shape is required"),
        ({"frontend_dtype": "int16"}, "uint16"),
        ({"dtype": "floaty"}, "floaty"),
        ({"frontend_settings": {"sample_rate_hz": 8000}}, "AudioFeatureGeneratorSettings"),
        ({"preprocessing_function": lambda x: x}, r"\(params, x\)"),
        ({"preprocessing_function": lambda p, x, clas_id: x}, "Did you mean 'class_id'"),
        ({"cores": 0}, "cores"),
        ({"max_batches_pending": 0}, "max_batches_pending"),
        ({"batch_size": 0}, "batch_size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_wrong_settings_are_refused_when_they_are_set(settings, message):
    with pytest.raises(SpecificationError, match=message):
        ParallelAudioDataGenerator(**settings)


def test_front_end_settings_that_do_not_fit_are_refused():
    settings = AudioFeatureGeneratorSettings(pcan_enable=True)
    with pytest.raises(SpecificationError, match="noise_reduction"):
        ParallelAudioDataGenerator(frontend_settings=settings)
    settings = AudioFeatureGeneratorSettings(sample_length_ms=20)
    with pytest.raises(SpecificationError, match="window"):
        ParallelAudioDataGenerator(frontend_settings=settings)


def test_missing_folders_and_classes_are_named(recordings, tmp_path):
    root = recordings()
    flow = ParallelAudioDataGenerator().flow_from_directory
    with pytest.raises(DatasetError, match="nowhere"):
        flow(tmp_path / "nowhere", CLASSES)
    with pytest.raises(DatasetError, match="Did you mean 'yes'"):
        flow(root, ["yess", "no"])
    (root / "empty").mkdir()
    with pytest.raises(DatasetError, match="'empty' has no samples"):
        flow(root, ["yes", "empty"])
    with pytest.raises(DatasetError, match="draw samples of the 'unknown' class"):
        flow(root, ["yes", "no", "maybe", "never", "empty", "_unknown_"])
    with pytest.raises(SpecificationError, match="Did you mean 'training'"):
        flow(root, CLASSES, subset="train")
    missing = ParallelAudioDataGenerator(bg_noise_dir="_noise_", bg_noise_range=(0, 1))
    with pytest.raises(DatasetError, match=r"bg_noise_dir is '_noise_'.*recordings/_noise_"):
        missing.flow_from_directory(root, CLASSES)
    (root / "_noise_").mkdir()
    with pytest.raises(DatasetError, match="has no recordings"):
        missing.flow_from_directory(root, CLASSES)


def test_a_damaged_file_stops_the_run_with_its_name(recordings):
    root = recordings()
    (root / "yes" / "z_nohash_0.wav").write_bytes(b"RIFFnothing")
    iterator = ParallelAudioDataGenerator(cores=2).flow_from_directory(root, CLASSES, batch_size=4)
    with pytest.raises(DatasetError, match=r"yes/z_nohash_0\.wav"):
        list(iterator)


def test_a_recording_shorter_than_one_window_is_padded(tmp_path, tone):
    (tmp_path / "short").mkdir()
    soundfile.write(tmp_path / "short" / "a.wav", tone(440, 0.005), 16000)
    generator = ParallelAudioDataGenerator(speed_range=(0.5, 0.9), pitch_range=(1, 5))
    x, _ = generator.flow_from_directory(tmp_path, ["short"])[0]
    assert x.shape == (1, 98, 32, 1) and np.isfinite(x).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_colors": "all"}, "noise_color_range is not set"),
        ({"bg_noise_dir": "_background_noise_"}, "neither bg_noise_range nor bg_noise_snr_db_range"),
        ({"bg_noise_range": (0, 1)}, "bg_noise_dir is not set"),
    ],
)
def test_settings_without_effect_are_mentioned(recordings, caplog, settings, message):
    ParallelAudioDataGenerator(**settings).flow_from_directory(recordings(noise=True), CLASSES)
    assert message in caplog.text


def test_settings_that_differ_from_the_defaults_are_described():
    assert ParallelAudioDataGenerator().describe() == ""
    text = ParallelAudioDataGenerator(
        frontend_settings=AudioFeatureGeneratorSettings(window_step_ms=20), speed_range=(0.9, 1.1)
    ).describe()
    assert text == "frontend_settings: {'fe.window_step_ms': 20}\nspeed_range: (0.9, 1.1)"


def test_nothing_is_written_into_the_data_set(recordings, tmp_path):
    root = recordings(noise=True)
    before = sorted(root.rglob("*"))
    generator = ParallelAudioDataGenerator(**EVERYTHING, validation_split=0.5)
    list(generator.flow_from_directory(root, CLASSES, subset="training", shuffle_index_dir=tmp_path / "i"))
    assert sorted(root.rglob("*")) == before and list((tmp_path / "i").rglob("*.txt"))


def test_real_recordings_in_the_layout_of_speech_commands(shared):
    counts = {}
    generator = ParallelAudioDataGenerator(
        bg_noise_dir="_background_noise_", bg_noise_snr_db_range=(0, 20), validation_split=0.2
    )
    iterator = generator.flow_from_directory(
        shared / "data" / "kws_fsdd",
        ["one", "two", "_unknown_", "_silence_"],
        subset="training",
        class_counts=counts,
    )
    assert counts["one"] == counts["two"] == counts["_unknown_"] == 75
    assert counts["_silence_"] == 45
    x, y = iterator[0]
    assert x.shape == (32, 98, 32, 1) and 0 < x.mean() < 1000 and y.sum() == 32


def test_a_folder_named_unknown_is_an_ordinary_class(recordings):
    root = recordings({"yes": 4, "_unknown_": 3})
    iterator = ParallelAudioDataGenerator().flow_from_directory(root, ["yes", "_unknown_"])
    assert iterator.samples == 7


def test_a_module_may_list_the_files(recordings):
    module = SimpleNamespace(
        list_valid_filenames_in_directory=lambda **kw: (
            kw["search_class"],
            [f"{kw['search_class']}/a_nohash_0.wav"],
        )
    )
    iterator = ParallelAudioDataGenerator().flow_from_directory(
        recordings(),
        CLASSES,
        list_valid_filenames_in_directory_function=module.list_valid_filenames_in_directory,
    )
    assert iterator.filenames == ["yes/a_nohash_0.wav", "no/a_nohash_0.wav"]


def test_recordings_are_read_by_the_rules_of_the_settings_and_reported_after_the_first_reading(
    recordings, tone, caplog
):
    root = recordings(seconds=1.0)
    soundfile.write(root / "yes" / "left.wav", np.stack([np.zeros(16000), tone(440)], 1), 16000)
    soundfile.write(root / "no" / "short.wav", tone(440, 0.3), 16000)
    (root / "no" / "video.m4a").touch()
    iterator = samples_only().flow_from_directory(root, CLASSES, batch_size=3)
    assert "1 .m4a" in caplog.text
    caplog.clear()
    list(iterator)
    messages = [r.getMessage() for r in caplog.records]
    assert len(messages) == 2
    assert "padded with digital zeros" in messages[0] and "'no/short.wav' (1 of 18 files)" in messages[0]
    assert "first channel is silent" in messages[1] and "'yes/left.wav' (1 of 18 files)" in messages[1]
    caplog.clear()
    iterator = samples_only(channel="mean", noise_floor_db=-70).flow_from_directory(
        root, CLASSES, shuffle=False
    )
    x = epoch(iterator)[0]
    assert np.abs(x[iterator.filenames.index("yes/left.wav")]).max() == pytest.approx(0.25, abs=0.01)
    assert not caplog.records


def test_unusable_recordings_are_all_named(recordings):
    root = recordings()
    for name in ("yes/cut.wav", "no/text.mp3"):
        (root / name).write_bytes(b"no sound")
    with pytest.raises(DatasetError, match=r"(cut.*text|text.*cut)"):
        list(samples_only().flow_from_directory(root, CLASSES))


@pytest.mark.parametrize("settings", [{"channel": "left"}, {"channel": -1}, {"float_scale": 0}])
def test_wrong_rules_for_reading_are_refused(settings):
    with pytest.raises(SpecificationError, match=next(iter(settings))):
        ParallelAudioDataGenerator(**settings)
