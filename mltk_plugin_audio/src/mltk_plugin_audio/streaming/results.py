"""Results of the evaluator `streaming`: summary and plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mltk.results.evaluation import EvaluationResults
from mltk.results.plots import line_styles
from mltk_plugin_audio.streaming.detection import MAX_SCORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RED = "#c03030"
_BLUE = "#2060b0"


class StreamingEvaluationResults(EvaluationResults):
    """Results of the evaluator `streaming`; `evaluate_streaming` documents the entries."""

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a summary as text.

        Args:
            include_all: Include one line per class and the recommended threshold.
        """
        lines = [f"Name: {self.name}", f"Model Type: {self.model_type}"]
        low, high = self["false_accepts_per_hour_limits_95"]
        lines += [
            f"Listened: {self['hours']:.2f} h with {sum(self['events'])} words, "
            f"every {self['settings']['latency_ms']} ms",
            f"At {self._threshold_text()}:",
            f"- false accepts: {sum(self['false_accepts'])}, {format_rate(self['false_accepts_per_hour'])} per hour "
            f"(95 % limits {format_rate(low)} to {format_rate(high)}), {sum(self['repeats'])} of them repeats",
            f"- false rejects: {_format_percent(self['false_reject_rate'])}",
            f"- latency: median {_format_ms(self['latency_ms_median'])}, "
            f"95th percentile {_format_ms(self['latency_ms_p95'])}",
        ]
        if not include_all:
            return "\n".join(lines)
        width = max(map(len, self["detectable_classes"]))
        for name, figures in self["by_class"].items():
            lines.append(
                f"- {name:<{width}}  {format_rate(figures['false_accepts_per_hour']):>7} per hour  "
                f"{_format_percent(figures['false_reject_rate']):>7} of {figures['events']} missed  "
                f"{_format_ms(figures['latency_ms_median'])}"
            )
        recommended, wanted = self["recommended_threshold"], self["wanted_false_accepts_per_hour"]
        if recommended is None:
            lines.append(f"No threshold detects anything with at most {wanted:g} false accepts per hour.")
        else:
            lines.append(
                f"For at most {wanted:g} false accepts per hour: detection_threshold = {recommended} "
                f"(false rejects {_format_percent(self['recommended_false_reject_rate'])})"
            )
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plots: false rejects against false accepts, and both as functions of the threshold."""
        if sum(self["events"]):
            yield "streaming", "streaming", self._draw_trade_off
        yield "streaming_thresholds", "streaming_thresholds", self._draw_thresholds

    def _threshold_text(self) -> str:
        thresholds = self["settings"]["detection_threshold_list"]
        if thresholds:
            return f"the thresholds of the model ({', '.join(map(str, thresholds))})"
        return f"threshold {self['settings']['detection_threshold']}"

    def _draw_trade_off(self, figure: Figure) -> None:
        figure.set_size_inches(7.2, 5.0)
        axes = figure.subplots()
        accepts = np.asarray(self["curve_false_accepts_per_hour"])
        rejects = 100 * np.asarray(self["curve_false_reject_rate"])
        by_class = {
            name: (
                np.asarray(f["curve_false_accepts_per_hour"]),
                100 * np.asarray(f["curve_false_reject_rate"]),
            )
            for name, f in self["by_class"].items()
            if f["events"]
        }
        axes.set_title(f"{self.name}: false rejects against false accepts")
        axes.set(xlabel="False accepts per hour", ylabel="False rejects (%)", ylim=(-2, 102))
        # One false accept in the whole time is the smallest rate above 0.
        axes.set_xscale("symlog", linthresh=1 / self["hours"])
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlim(
            0, max(1.3 * float(accepts.max()), 2 / self["hours"], 2 * self["wanted_false_accepts_per_hour"])
        )
        axes.grid(True)
        if 1 < len(by_class) <= 20:
            for (name, (x, y)), style in zip(by_class.items(), line_styles(len(by_class)), strict=True):
                axes.plot(x, y, label=name, alpha=0.6, linewidth=1.0, **cast("dict[str, Any]", style))
        axes.plot(accepts, rejects, color="black", linewidth=2.2, label="all classes")
        x, y = self["false_accepts_per_hour"], 100 * self["false_reject_rate"]
        axes.plot(
            [x], [y], "o", color="black", markersize=7, clip_on=False, label=f"at {self._threshold_text()}"
        )
        if (recommended := self["recommended_threshold"]) is not None:
            axes.plot(
                accepts[recommended],
                rejects[recommended],
                "D",
                color=_RED,
                markersize=7,
                clip_on=False,
                zorder=4,
                label=f"recommended: {recommended}",
            )
        axes.axvline(
            self["wanted_false_accepts_per_hour"],
            color=_RED,
            linestyle=":",
            linewidth=1.2,
            label="wanted rate",
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.set_size_inches(9.2, 5.0)

    def _draw_thresholds(self, figure: Figure) -> None:
        figure.set_size_inches(7.6, 4.6)
        axes = figure.subplots()
        thresholds = np.arange(MAX_SCORE + 1)
        axes.set_title(f"{self.name}: rates at each threshold")
        axes.set(xlabel="detection_threshold", ylabel="False accepts per hour", xlim=(0, MAX_SCORE))
        axes.set_yscale("symlog", linthresh=1 / self["hours"])
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.grid(True)
        accepts = axes.plot(
            thresholds, self["curve_false_accepts_per_hour"], color=_RED, drawstyle="steps-mid"
        )
        axes.set_ylim(bottom=0)
        handles, names = [accepts[0]], ["false accepts per hour"]
        if sum(self["events"]):
            other = axes.twinx()
            other.spines["right"].set_visible(True)
            rejects = other.plot(
                thresholds,
                100 * np.asarray(self["curve_false_reject_rate"]),
                color=_BLUE,
                drawstyle="steps-mid",
            )
            other.set(ylabel="False rejects (%)", ylim=(-2, 102))
            handles.append(rejects[0])
            names.append("false rejects")
        if (recommended := self["recommended_threshold"]) is not None:
            handles.append(axes.axvline(recommended, color="black", linestyle="--", linewidth=1.2))
            names.append(f"recommended: {recommended}")
        if not self["settings"]["detection_threshold_list"]:
            embedded = self["settings"]["detection_threshold"]
            handles.append(axes.axvline(embedded, color="black", linestyle=":", linewidth=1.2))
            names.append(f"used: {embedded}")
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))


def format_rate(value: float) -> str:
    """Return a rate with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _format_percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{share:.1%}"


def _format_ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
