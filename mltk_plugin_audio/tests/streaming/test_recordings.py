from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.errors import DatasetError
from mltk_plugin_audio.streaming import Composition, Event, compose, open_recording, read_labels
from mltk_plugin_audio.streaming.labels import format_labels

CLASSES = ("yes", "No", "_unknown_")
RATE = 8000


@pytest.fixture
def labels(tmp_path):
    def write(text, name="labels.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "1.5\t2.0\tyes\n0.5\t0.75\tNo\n",
        "0.5,0.75,no\n1.5,2.0,YES\n",
        "start;end;label\r\n0.5; 0.75; No\r\n\r\n1.5;2;yes",
        "\ufeff# said by one person\n0.5\t0.75\tno\n\\\t100\t4000\n1.5\t2.0\tyes\n3\t4\t_unknown_\n5\t6\t_noise_\n",
        '0.5,0.75,"no"\n1.5,2.0,yes,loud\n',
    ],
)
def test_labels_of_audacity_and_tables_are_read(labels, text):
    assert read_labels(labels(text), CLASSES) == (Event(500, 750, 1), Event(1500, 2000, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\t1\tyes\n2\t3\tyess\n", "line 2: the model has no class 'yess'. Did you mean 'yes'"),
        ("0\t1\n", "line 1: expected start, end and label"),
        ("a\tb\tc\n", "line 1: expected start"),
        ("2\t1\tyes\n", "line 1: the event must start"),
        ("-1\t1\tyes\n", "line 1: the event must start"),
        ("0\tnan\tyes\n", "line 1: the event must start"),
        ("0\t1\t\n", "line 1: the event has no label"),
    ],
)
def test_an_error_names_the_invalid_line(labels, text, message):
    with pytest.raises(DatasetError) as error:
        read_labels(labels(text), CLASSES)
    assert message in str(error.value)
    assert "labels.txt" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_names_a_binary_label_file(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match="not a text file"):
        read_labels(path, CLASSES)


events = st.builds(
    lambda start, length, class_id: Event(start, start + length, class_id),
    st.integers(0, 10**7),
    st.integers(0, 10**5),
    st.integers(0, 1),
)


@given(st.lists(events, max_size=20))
def test_written_labels_are_read_back(tmp_path_factory, events):
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text(format_labels(events, CLASSES), encoding="utf-8")
    read = read_labels(path, CLASSES)
    ordered = sorted(events, key=lambda e: (e.start_ms, e.end_ms, e.class_id))
    assert [e.class_id for e in read] == [e.class_id for e in ordered]
    assert np.allclose([(e.start_ms, e.end_ms) for e in read], [(e.start_ms, e.end_ms) for e in ordered])


@given(st.text(max_size=60))
def test_any_text_is_read_or_rejected_with_one_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_labels(path, CLASSES)
    except DatasetError as error:
        assert "labels.txt" in str(error)


def test_the_labels_beside_a_recording_are_found(tones, tmp_path):
    path = tones.write("meeting.wav", tones.sound(1))
    assert open_recording(path, 16000, CLASSES).events == ()
    path.with_suffix(".csv").write_text("0,0.5,yes\n")
    recording = open_recording(path, 16000, CLASSES)
    assert recording.events == (Event(0, 500, 0),)
    assert sum(len(block) for block in recording.blocks()) == 16000
    with pytest.raises(DatasetError, match=r"no recording .*none\.wav"):
        open_recording(tmp_path / "none.wav", 16000, CLASSES)


def clip(loudness, seconds=0.4, quiet=0.1, hertz=440):
    t = np.arange(round(seconds * RATE)) / RATE
    silence = np.zeros(round(quiet * RATE), np.float32)
    return np.concatenate([silence, (loudness * np.sin(2 * np.pi * hertz * t)).astype(np.float32), silence])


def clips(n=4):
    return [(clip(0.1 + 0.02 * i), i % 3) for i in range(3 * n)]


def test_clips_are_placed_where_the_labels_say():
    recording = compose(clips(), CLASSES, RATE, Composition(snr_db=40))
    sound = np.concatenate(list(recording.blocks()))
    assert len(recording.events) == 8
    for event in recording.events:
        first, last = (round(t * RATE / 1000) for t in (event.start_ms, event.end_ms))
        loud = np.sqrt(np.mean(np.square(sound[first:last])))
        before = np.sqrt(np.mean(np.square(sound[first - RATE // 2 : first - RATE // 10])))
        assert loud > 20 * before
        # The silence around the tone of 0.4 s is not of the event, but for the 25 ms that it is measured in.
        assert abs(event.end_ms - event.start_ms - 400) <= 50


def test_the_background_has_the_requested_signal_to_noise_ratio():
    same = [(clip(0.2, quiet=0), i % 2) for i in range(10)]
    recording = compose(same, CLASSES, RATE, Composition(snr_db=10, gap_ms=(3000, 3000)))
    sound = np.concatenate(list(recording.blocks()))
    gaps = sound[: round(2.9 * RATE)]
    assert 10 * np.log10((0.2**2 / 2) / np.mean(np.square(gaps))) == pytest.approx(10, abs=1.5)


def test_the_same_seed_gives_the_same_recording():
    def make(seed):
        recording = compose(clips(), CLASSES, RATE, Composition(seed=seed))
        return recording.events, np.concatenate(list(recording.blocks()))

    (events, sound), (again, same), (others, _) = make(1), make(1), make(2)
    assert events == again
    assert np.array_equal(sound, same)
    assert others != events


def test_the_recording_is_limited_to_the_maximum_length():
    recording = compose(clips(200), CLASSES, RATE, Composition(max_minutes=2))
    seconds = sum(len(block) for block in recording.blocks()) / RATE
    assert 90 < seconds <= 130
    of_class = np.bincount([event.class_id for event in recording.events])
    assert of_class[0] == of_class[1]


def test_background_recordings_play_throughout(tones, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.2, 2 * RATE)
    tones.write("noise/a.wav", noise, RATE)
    tones.write("noise/b.wav", noise / 50, RATE)
    how = Composition(background=tmp_path / "sounds" / "noise", snr_db=10)
    sound = np.concatenate(list(compose(clips(), CLASSES, RATE, how).blocks()))
    powers = np.square(sound).reshape(-1)[: len(sound) // RATE * RATE].reshape(-1, RATE // 10).mean(axis=1)
    # Both files are as loud, and never silent.
    assert powers.min() > 0.2 * np.median(powers)
    with pytest.raises(DatasetError, match="no folder"):
        compose(clips(), CLASSES, RATE, Composition(background=tmp_path / "none"))


def test_an_error_reports_missing_clips():
    with pytest.raises(DatasetError, match="no evaluation clips"):
        compose([], CLASSES, RATE, Composition())
