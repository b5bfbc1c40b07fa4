"""The shipped digits model keeps what the README promises of it."""

import pytest

from mltk.core import evaluate_model, train_model


@pytest.mark.slow
def test_digits_model_reaches_its_accuracy_in_float_and_int8(tmp_path, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path))
    results = train_model("digits_v1")
    float32, int8 = (evaluate_model(results.mltk_model, tflite=tflite) for tflite in (False, True))
    assert float32.n_samples == int8.n_samples == 2500
    assert float32.overall_accuracy >= 0.975
    assert abs(float32.overall_accuracy - int8.overall_accuracy) <= 0.005
