"""Comparison with the outputs of the reference, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.errors import SpecificationError
from mltk_plugin_audio.frontend import (
    AudioFeatureGenerator,
    AudioFeatureGeneratorSettings,
    AudioFeatureStream,
)

CASES = range(12)


@pytest.mark.parametrize("case", CASES)
def test_clips_give_the_bits_of_the_reference(golden, case):
    settings = AudioFeatureGeneratorSettings(golden["settings"][case])
    generator = AudioFeatureGenerator(settings)
    clips = golden["inputs"][:, : settings.sample_length]
    for n, clip in enumerate(clips):
        name = golden["input_names"][n]
        raw = golden[f"u16_{case:02}"][n]
        np.testing.assert_array_equal(generator.process_sample(clip, np.uint16), raw, name)
        np.testing.assert_array_equal(generator.process_sample(clip), raw.astype(np.float32), name)
        quantized = generator.process_sample(clip, np.int8)
        np.testing.assert_array_equal(quantized, golden[f"i8_{case:02}"][n], name)
        assert generator.activity_was_detected() == golden[f"activity_{case:02}"][n], name


@pytest.mark.parametrize("case", CASES)
def test_batches_give_the_bits_of_the_reference(golden, case):
    settings = AudioFeatureGeneratorSettings(golden["settings"][case])
    generator = AudioFeatureGenerator(settings)
    clips = golden["inputs"][:, : settings.sample_length]
    np.testing.assert_array_equal(generator.process_batch(clips, np.uint16), golden[f"u16_{case:02}"])
    np.testing.assert_array_equal(generator.process_batch(clips, np.int8), golden[f"i8_{case:02}"])


@pytest.mark.parametrize("case", CASES)
def test_uneven_chunks_give_the_bits_of_the_reference(golden, case):
    settings = AudioFeatureGeneratorSettings(golden["settings"][case])
    rng = np.random.default_rng(case)
    stream = AudioFeatureStream(settings)
    for clip, raw, active in zip(
        golden["inputs"][:, : settings.sample_length],
        golden[f"u16_{case:02}"],
        golden[f"activity_{case:02}"],
        strict=True,
    ):
        stream.reset()
        chunks = np.split(clip, np.sort(rng.integers(0, clip.size, 20)))
        rows = np.concatenate([stream.process(chunk, np.uint16) for chunk in chunks])
        np.testing.assert_array_equal(rows, raw)
        assert stream.activity_was_detected() == active


def test_what_the_reference_refuses_is_refused(golden):
    for values in golden["refused"]:
        with pytest.raises(SpecificationError):
            AudioFeatureGenerator(AudioFeatureGeneratorSettings(values))


def test_settings_have_the_keys_order_and_types_of_the_reference(golden):
    for values in golden["settings"]:
        settings = AudioFeatureGeneratorSettings(values)
        assert list(settings.items()) == list(values.items())
        assert [type(v) for v in settings.values()] == [type(v) for v in values.values()]


@pytest.mark.skipif("MLTK_REFERENCE_PYTHON" not in os.environ, reason="needs the reference")
def test_random_settings_and_signals_give_the_bits_of_the_reference():
    script = Path(__file__).resolve().parents[3] / "benchmarks/audio_frontend.py"
    command = [sys.executable, str(script), "--rounds", "1", "--compare", "200"]
    subprocess.run(command, check=True)
