"""Results of profiling a `.tflite` model."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from mltk.results.plots import drawing, save_figure
from mltk.results.profiling_fields import (
    BARS,
    COLUMNS,
    FIELDS,
    SUMMARY,
    divide,
    is_unknown,
    read_value,
    with_unit,
)
from mltk.results.profiling_layer import (
    MemoryPart,
    ProfilingLayerResult,
    RuntimeMemory,
    WithTensorTexts,
    sum_weights,
)
from mltk.tflite import TfliteModel
from mltk.utils.files import atomic_write
from mltk.utils.string_formatting import format_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["MemoryPart", "Method", "ProfilingLayerResult", "ProfilingModelResults", "RuntimeMemory"]

Method = str
"""`static`, `simulated`, `embedded`, or another name that a profiler gives."""

_METHODS: Mapping[Method, str] = {
    "static": "read from the file, nothing was run",
    "simulated": "simulated on this computer",
    "embedded": "measured on a device",
}

_MEMORY_LABELS = {
    "name": "Part of the runtime memory",
    "used": "Bytes",
    "requested": "Without alignment",
    "count": "Pieces",
}


class ProfilingContent(TypedDict):
    """Content of a profiling report."""

    summary: dict[str, object]
    summary_labels: dict[str, str]
    layers: list[dict[str, object]]
    layer_labels: dict[str, str]
    memory: NotRequired[list[dict[str, object]]]


class ProfilingModelResults(WithTensorTexts):
    """Profiling results of a model. A value that was not measured is 0 or `None`, and absent from the reports.

    Args:
        tflite_model: The model.
        method: `static` if the model was only read, `simulated` if it ran on this computer, `embedded` if on a device;
            or a name of the profiler's own.
        layers: Results of the layers, in their order; by default with the operations and MACs counted.
        accelerator: Name of the accelerator that was simulated or used.
        platform: Name of the device, or of what ran the model.
        cpu_clock_rate: Hz; 0 if not known.
        runtime_memory_bytes: Memory for tensors that the runtime needs, in bytes; that of `memory` by default, 0 if
            not known.
        memory: The same in parts.
        totals: Values of the whole model in place of the sums over the layers, by the name of the layers' field.
        tflite_micro_model_details: What a TensorFlow Lite Micro runtime says about the model.
    """

    def __init__(
        self,
        tflite_model: TfliteModel,
        method: Method,
        layers: Iterable[ProfilingLayerResult] | None = None,
        accelerator: str | None = None,
        platform: str | None = None,
        cpu_clock_rate: float = 0,
        runtime_memory_bytes: int = 0,
        totals: Mapping[str, float] | None = None,
        tflite_micro_model_details: object = None,
        memory: RuntimeMemory | None = None,
    ) -> None:
        self.tflite_model = tflite_model
        self.method = method
        if layers is None:
            layers = map(ProfilingLayerResult.from_layer, tflite_model.layers)
        self.layers: list[ProfilingLayerResult] = list(layers)
        self.accelerator = accelerator
        self.platform = platform
        self.cpu_clock_rate = cpu_clock_rate
        self.runtime_memory_bytes = runtime_memory_bytes or (0 if memory is None else memory.total)
        self.memory = memory
        self.tflite_micro_model_details = tflite_micro_model_details
        self._totals = dict(totals or {})

    @property
    def _tensors(self) -> TfliteModel:
        return self.tflite_model

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.tflite_model.name

    @property
    def is_simulated(self) -> bool:
        """True if the model ran on this computer; false also if it did not run at all (see `method`)."""
        return self.method == "simulated"

    @property
    def flatbuffer_size(self) -> int:
        """Bytes of the `.tflite` file."""
        return self.tflite_model.flatbuffer_size

    @property
    def weights_size(self) -> int:
        """Bytes of the tensors whose values are in the file; one that several layers use counts once."""
        return sum_weights(layer.tflite_layer for layer in self.layers)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def ops(self) -> float:
        """Arithmetic operations of one inference; a MAC counts as two."""
        return self.stat_total("ops") or 0

    @property
    def macs(self) -> float:
        """Multiply-accumulates of one inference."""
        return self.stat_total("macs") or 0

    @property
    def not_counted(self) -> str | None:
        """Operators that `ops` and `macs` do not include, separated by commas; `None` if there is none."""
        kinds = dict.fromkeys(layer.opcode_str for layer in self.layers if not layer.is_counted)
        return ", ".join(kinds) or None

    @property
    def accelerator_cycles(self) -> float:
        """Cycles of the accelerator in one inference."""
        return self.stat_total("accelerator_cycles") or 0

    @property
    def cpu_cycles(self) -> float:
        """Cycles of the CPU in one inference."""
        return self.stat_total("cpu_cycles") or 0

    @property
    def time(self) -> float:
        """Seconds of one inference."""
        return self.stat_total("time") or 0

    @property
    def host_time(self) -> float | None:
        """Seconds of one inference on the computer that profiles."""
        return self.stat_total("host_time")

    @property
    def energy(self) -> float:
        """Joules of one inference."""
        return self.stat_total("energy") or 0

    @property
    def cpu_utilization(self) -> float:
        """Share of the time in which the CPU is busy, in percent."""
        busy = divide(self.cpu_cycles, self.cpu_clock_rate)
        return 100 * (divide(busy, self.time) or 0)

    @property
    def unsupported_layers(self) -> list[ProfilingLayerResult]:
        """The layers that are known not to be supported."""
        return [layer for layer in self.layers if layer.is_unsupported]

    @property
    def n_unsupported_layers(self) -> int:
        """Number of layers that are known not to be supported; 0 also if the profiler did not look."""
        return len(self.unsupported_layers)

    @property
    def _unsupported(self) -> int | None:
        looked = any(layer.supported is not None for layer in self.layers)
        return self.n_unsupported_layers if looked else None

    def stat_total(self, name: str) -> float | None:
        """Return a value of the whole model: the sum over the layers, if there is no total of its own.

        Args:
            name: A numeric field of `ProfilingLayerResult`, e.g. `time`.

        Returns:
            The number; `None` if it is known of no layer.

        Raises:
            AttributeError: A layer has no such field.
        """
        if name in self._totals:
            return self._totals[name]
        known = [v for v in (getattr(layer, name) for layer in self.layers) if v is not None]
        return sum(known) if known else None

    def get_summary(
        self,
        include_labels: bool = False,
        format_units: bool = False,
        exclude_null: bool = True,
        full_summary: bool = False,
    ) -> dict[str, object]:
        """Return the values of the whole model by name.

        Args:
            include_labels: Give each value as a pair `(label, value)`.
            format_units: Give numbers as text with an SI letter.
            exclude_null: Leave out what was not measured.
            full_summary: Also the quantization and the size of the weights.
        """
        shown = [field for field in SUMMARY if full_summary or field.full_only != "everywhere"]
        values: dict[str, object] = {field.name: read_value(self, field) for field in shown}
        if exclude_null:
            values = {key: value for key, value in values.items() if not is_unknown(value, FIELDS[key])}
        if format_units:
            values = {key: with_unit(FIELDS[key], value) for key, value in values.items()}
        if include_labels:
            return {key: (FIELDS[key].label, value) for key, value in values.items()}
        return values

    def to_dict(
        self, format_units: bool = False, exclude_null: bool = True, full_summary: bool = False
    ) -> ProfilingContent:
        """Return `summary` and `layers`, with `summary_labels` and `layer_labels` for people, and `memory` by kind.

        Args:
            format_units: Give numbers as text with an SI letter.
            exclude_null: Leave out what was not measured; of the layers, what was measured of none.
            full_summary: Also types, quantization and weights' sizes of the layers.
        """
        summary = self.get_summary(
            format_units=format_units, exclude_null=exclude_null, full_summary=full_summary
        )
        rows = [layer.to_dict() for layer in self.layers]
        keys = [
            field.name
            for field in COLUMNS
            if (full_summary or not field.full_only)
            and not (exclude_null and all(is_unknown(row[field.name], field) for row in rows))
        ]
        content: ProfilingContent = {
            "summary": summary,
            "summary_labels": {key: FIELDS[key].label for key in summary},
            "layers": [
                {key: with_unit(FIELDS[key], row[key]) if format_units else row[key] for key in keys}
                for row in rows
            ],
            "layer_labels": {key: FIELDS[key].column for key in keys},
        }
        if self.memory is not None:
            content["memory"] = [asdict(part) for part in self.memory.parts]
        return content

    def to_json(
        self,
        indent: int | None = 2,
        format_units: bool = False,
        exclude_null: bool = True,
        full_summary: bool = False,
    ) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(format_units, exclude_null, full_summary), indent=indent)

    def to_csv(
        self,
        format_units: bool = False,
        exclude_null: bool = True,
        full_summary: bool = False,
        include_header: bool = True,
        dialect: str | type[csv.Dialect] = "excel",
    ) -> tuple[str, str]:
        """Return two tables as CSV, each headed by the names of `to_dict`: the summary, and the layers.

        Args:
            format_units: See `to_dict`.
            exclude_null: See `to_dict`.
            full_summary: See `to_dict`.
            include_header: Begin with a line of names.
            dialect: A dialect of the module `csv`; lines end with a line feed.
        """
        content = self.to_dict(format_units, exclude_null, full_summary)
        return (
            _csv(content["summary_labels"], [content["summary"]], include_header, dialect),
            _csv(content["layer_labels"], content["layers"], include_header, dialect),
        )

    def to_string(
        self, format_units: bool = True, exclude_null: bool = True, full_summary: bool = False
    ) -> str:
        """Return the summary and a table of the layers for people; arguments as in `to_dict`."""
        content = self.to_dict(format_units, exclude_null, full_summary)
        summary, labels = content["summary"], content["summary_labels"]
        explanation = _METHODS.get(self.method)
        summary["method"] = f"{self.method} ({explanation})" if explanation else self.method
        lines = [f"{labels[key]}: {_cell(value)}" for key, value in summary.items()]
        rows = [
            [_cell(v).replace(",", "\n") if FIELDS[key].per_tensor else _cell(v) for key, v in row.items()]
            for row in content["layers"]
        ]
        if content.get("memory"):
            parts = [[_cell(value) for value in part.values()] for part in content["memory"]]
            lines += ["", format_table(list(_MEMORY_LABELS.values()), parts)]
        table = format_table(list(content["layer_labels"].values()), rows)
        return "\n".join([*lines, "", table])

    def __str__(self) -> str:
        return self.to_string()

    def generate_report(
        self, output_dir: str | os.PathLike[str], format_units: bool = True, full_summary: bool = False
    ) -> list[Path]:
        """Write `profiling_report-<accelerator or none>-<method>` as `.txt`, `.json`, `.csv` (the layers) and `.png`.

        The picture has bars for each layer.

        Args:
            output_dir: Folder; made if it does not exist.
            format_units: Give numbers as text with an SI letter in the `.txt`; the others are for programs.
            full_summary: Also types, quantization and weights' sizes of the layers.

        Returns:
            The paths written.
        """
        accelerator = re.sub(r"[^\w.-]+", "_", self.accelerator or "none")
        stem = f"profiling_report-{accelerator}-{self.method}"
        contents = {
            ".txt": self.to_string(format_units, full_summary=full_summary) + "\n",
            ".json": self.to_json(full_summary=full_summary) + "\n",
            ".csv": self.to_csv(full_summary=full_summary)[1],
        }
        written = [atomic_write(Path(output_dir, stem + end), text) for end, text in contents.items()]
        with drawing(self.draw, show=False) as figure:
            return [*written, save_figure(figure, Path(output_dir, f"{stem}.png"))]

    def draw(self, figure: Figure) -> None:
        """Draw bars for each layer: MACs, times and sizes, as far as they are known.

        Args:
            figure: An empty figure; its size is set.
        """
        from matplotlib.ticker import EngFormatter, MaxNLocator

        bars = {
            field.label: [getattr(layer, field.name) or 0 for layer in self.layers]
            for field in BARS
            if any(getattr(layer, field.name) for layer in self.layers)
        }
        figure.set_size_inches(1.5 + 3.2 * max(1, len(bars)), 1.2 + 0.24 * max(4, len(self.layers)))
        figure.suptitle(self.name)
        names = [f"{layer.index} {layer.opcode_str}" for layer in self.layers]
        for number, (title, values) in enumerate(bars.items()):
            axes = figure.add_subplot(1, len(bars), number + 1)
            axes.barh(range(len(names)), values, color=f"C{number}")
            axes.set(title=title, ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)))
            axes.set_yticklabels(names if number == 0 else [])
            axes.grid(axis="x")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(EngFormatter())


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _csv(
    labels: Mapping[str, str],
    rows: Iterable[Mapping[str, object]],
    header: bool,
    dialect: str | type[csv.Dialect],
) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(labels), dialect=dialect, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
