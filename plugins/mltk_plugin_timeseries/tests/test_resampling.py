"""Rates, irregular times, missing values."""

import numpy as np
import pytest

from mltk.errors import DatasetError
from mltk_plugin_timeseries._resampling import ResamplingRules, change_rate, low_pass


def swing(times, frequency):
    return np.sin(2 * np.pi * frequency * np.asarray(times))[:, None]


def test_another_rate_keeps_a_slow_signal():
    times = np.arange(0, 4, 1 / 100)
    result = ResamplingRules(sample_rate=40, recorded_rate=100).apply(swing(times, 2), None)
    assert result.rate == 40
    assert result.values.dtype == np.float32
    assert len(result.values) == 160  # The last row is at 3.99 s.
    expected = swing(np.arange(160) / 40, 2)
    assert np.abs(result.values - expected)[15:-15].max() < 0.02


def test_a_lower_rate_removes_what_would_alias():
    times = np.arange(0, 4, 1 / 100)
    result = change_rate(swing(times, 45), 100, 40)
    assert np.abs(result[2:-2]).max() < 0.02
    without_filter = np.interp(np.arange(160) / 40, times, swing(times, 45)[:, 0])
    assert np.abs(without_filter).max() > 0.5


def test_the_filter_keeps_the_level_and_the_length():
    values = np.full((50, 2), [3.0, -1.0])
    assert np.allclose(low_pass(values, 0.1), values)


def test_a_higher_rate_interpolates():
    result = ResamplingRules(sample_rate=4, recorded_rate=2).apply(np.array([[0.0], [1], [4]]), None)
    assert result.values[:, 0].tolist() == [0, 0.5, 1, 2.5, 4]


def test_rows_without_a_rate_are_taken_as_they_are():
    values = np.arange(4.0)[:, None]
    assert ResamplingRules(sample_rate=40).apply(values, None).values.tolist() == values.tolist()
    assert ResamplingRules().apply(values, None).rate is None


def test_rounded_times_are_regular():
    times = np.round(np.arange(100) / 60, 3)
    result = ResamplingRules().apply(np.arange(100.0)[:, None], times)
    assert result.values[:, 0].tolist() == list(range(100))
    assert result.rate == pytest.approx(60, rel=1e-3)


def test_irregular_times_are_refused_unless_they_are_to_be_resampled():
    times = np.array([0, 1, 2, 4, 5, 6.0])
    values = times[:, None] * 10
    with pytest.raises(
        DatasetError, match=r"irregular times: 2 s after row 3, 1 s in the median; irregular="
    ):
        ResamplingRules().apply(values, times)
    result = ResamplingRules(irregular="resample").apply(values, times)
    assert result.values[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert result.rate == 1


def test_a_gap_in_the_times_is_filled_up_to_the_limit():
    values = np.arange(6.0)[:, None]
    rules = ResamplingRules(irregular="resample", max_gap=3)
    assert len(rules.apply(values, np.array([0, 1, 2, 6, 7, 8.0])).values) == 9
    with pytest.raises(DatasetError, match=r"gap of 5 s after row 3, about 4 rows; more than max_gap=3"):
        rules.apply(values, np.array([0, 1, 2, 7, 8, 9.0]))


@pytest.mark.parametrize(
    ("times", "message"),
    [([0, 1, 1], "do not increase, in row 3"), ([0, np.nan, 2], "lacks the time of row 2")],
)
def test_impossible_times_are_refused(times, message):
    with pytest.raises(DatasetError, match=message):
        ResamplingRules(irregular="resample").apply(np.zeros((3, 1)), np.array(times, float))


def test_missing_values_are_interpolated_in_each_channel():
    nan = np.nan
    values = np.array([[nan, 0], [2, nan], [4, nan], [nan, 9]])
    result = ResamplingRules(missing="interpolate").apply(values, None)
    assert result.values.tolist() == [[2, 0], [2, 3], [4, 6], [4, 9]]


def test_long_runs_of_missing_values_are_refused():
    values = np.arange(10.0)[:, None]
    values[3:7] = np.nan
    rules = ResamplingRules(missing="interpolate", max_gap=3)
    with pytest.raises(DatasetError, match=r"lacks 4 successive values of channel 1 from row 4 on"):
        rules.apply(values, None)
    with pytest.raises(DatasetError, match=r"lacks 2 successive values of channel 1 from row 1 on"):
        rules.apply(np.full((2, 1), np.nan), None)
