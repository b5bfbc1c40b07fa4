from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

EVERYTHING_ON = {
    "sample_length_ms": 500,
    "window_size_ms": 30,
    "window_step_ms": 20,
    "filterbank_n_channels": 40,
    "noise_reduction_enable": True,
    "pcan_enable": True,
    "activity_detection_enable": True,
    "dc_notch_filter_enable": True,
}


@pytest.fixture
def everything_on():
    """Return settings that go through every stage."""
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

    return AudioFeatureGeneratorSettings(EVERYTHING_ON)


@pytest.fixture(scope="session")
def golden():
    """Return the outputs of the reference's front end, with settings decoded."""
    path = Path(__file__).resolve().parents[4] / "shared/golden/audio_frontend_dev.npz"
    if not path.is_file():
        pytest.skip("the reference's outputs are not beside this checkout")
    with np.load(path) as arrays:
        values = dict(arrays)
    return values | {key: json.loads(str(values[key])) for key in ("settings", "refused", "input_names")}
