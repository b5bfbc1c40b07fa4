"""`load_audio_directory` and `load_image_directory`."""

import wave

import numpy as np
import pytest
import tensorflow as tf

from mltk.data.samples import iterate_batches
from mltk.errors import DatasetError, PluginNotInstalledError
from mltk_plugin_tfdata import load_audio_directory, load_image_directory, tf_dataset


@pytest.fixture
def pictures(tmp_path):
    for label, value in (("rock", 10), ("paper", 200), ("well", 90)):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for i in range(4):
            image = np.full((4 + i, 5, 3), value, np.uint8)
            (folder / f"{i}.png").write_bytes(tf.io.encode_png(image).numpy())
    return tmp_path / "pictures"


@pytest.fixture
def recordings(tmp_path):
    for label, rate in (("yes", 8000), ("no", 16000)):
        folder = tmp_path / "recordings" / label
        folder.mkdir(parents=True)
        for i in range(3):
            with wave.open(str(folder / f"{i}.wav"), "wb") as file:
                file.setparams((1, 2, rate, 0, "NONE", ""))
                file.writeframes(np.full(rate // 4, 8192, np.int16).tobytes())
    return tmp_path / "recordings"


def test_paths_and_ids_of_images_with_counts_and_a_split(pictures):
    counts = {}
    x, y = load_image_directory(pictures, ["rock", "paper"], split=(0.5, 1.0), class_counts=counts)
    names = [path.decode().removeprefix(f"{pictures}/") for path in x.as_numpy_iterator()]
    assert names == ["rock/2.png", "rock/3.png", "paper/2.png", "paper/3.png"]
    assert list(y.as_numpy_iterator()) == [0, 0, 1, 1]
    assert y.element_spec.dtype == tf.int32
    assert counts == {"rock": 2, "paper": 2}


def test_images_one_hot_labels_and_the_class_of_others(pictures):
    classes = ["paper", "_unknown_"]
    x, y = load_image_directory(
        pictures, classes, onehot_encode=True, shuffle=True, seed=3, return_image_data=True
    )
    data = list(tf.data.Dataset.zip((x, y)).as_numpy_iterator())
    assert len(data) == 8
    for image, label in data:
        assert image.dtype == np.uint8
        assert image.shape[1:] == (5, 3)
        assert label.tolist() == ([1, 0] if image[0, 0, 0] == 200 else [0, 1])
    again, _ = load_image_directory(pictures, classes, shuffle=True, seed=3, return_image_data=True)
    assert [i.tolist() for i in again.as_numpy_iterator()] == [i.tolist() for i, _ in data]


def test_an_image_that_cannot_be_read_is_named(pictures):
    (pictures / "rock" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    x, _ = load_image_directory(pictures, ["rock"], return_image_data=True)
    with pytest.raises(DatasetError, match=r"The image '.*/rock/1.png' cannot be read: "):
        list(iterate_batches(x.map(lambda image: image[:4][None])))


def test_recordings_silence_and_a_rate(recordings, tmp_path):
    x, y = load_audio_directory(
        recordings,
        ["yes", "no", "_silence_"],
        silence_class_percentage=0.7,
        return_audio_data=True,
        return_audio_sample_rate=True,
        sample_rate_hz=16000,
    )
    data = [
        (s, int(rate), int(label)) for (s, rate), label in tf.data.Dataset.zip((x, y)).as_numpy_iterator()
    ]
    assert [label for *_, label in data] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert {rate for _, rate, _ in data} == {16000}
    assert [len(s) for s, *_ in data] == [4000] * 6 + [16000] * 2
    assert all(abs(float(s[2000]) - 0.25) < 0.01 for s, _, label in data if label < 2)
    assert not any(s.any() for s, _, label in data if label == 2)
    assert sorted(p.name for p in recordings.iterdir()) == ["no", "yes"]


def test_recordings_keep_their_rate_and_paths_need_no_plugin(recordings, monkeypatch):
    x, _ = load_audio_directory(recordings, ["yes"], return_audio_data=True)
    assert [len(s) for s in x.as_numpy_iterator()] == [2000] * 3
    assert x.element_spec.shape.as_list() == [None]
    import mltk.core.preprocess.utils

    monkeypatch.delattr(mltk.core.preprocess.utils, "audio")
    monkeypatch.setenv("MLTK_BLOCK_PLUGINS", "audio")
    paths, _ = load_audio_directory(recordings, ["yes"])
    assert [p.decode() for p in paths.as_numpy_iterator()] == [f"{recordings}/yes/{i}.wav" for i in range(3)]
    with pytest.raises(PluginNotInstalledError, match="mltk-plugin-audio"):
        load_audio_directory(recordings, ["yes"], return_audio_data=True)


def test_a_recording_that_cannot_be_read_is_named(recordings):
    (recordings / "no" / "2.wav").write_bytes(b"RIFF")
    x, _ = load_audio_directory(recordings, ["no"], return_audio_data=True)
    with pytest.raises(DatasetError, match=r"The recording '.*/no/2.wav'"):
        list(iterate_batches(x))


def test_a_missing_class_is_reported_with_the_existing_ones(pictures):
    with pytest.raises(DatasetError, match=r"no folder for class 'scissors'.*'rock'"):
        load_image_directory(pictures, ["rock", "scissors"])


def test_the_names_of_the_reference_are_these():
    from mltk.core.preprocess.utils import tf_dataset as reference

    assert reference.parallel_process is tf_dataset.parallel_process
    assert reference.load_image_directory is load_image_directory
