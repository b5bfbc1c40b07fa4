"""The table of values in profiling reports: name, label, unit and the places that show each.

A new measured value is a field of `ProfilingLayerResult` and one row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mltk.utils.string_formatting import format_units


@dataclass(frozen=True)
class Field:
    """A value in the reports."""

    name: str
    label: str = ""
    """Label in the summary and title of the bars, with the unit; empty if only layers have the value."""
    column: str = ""
    """Heading in the table of layers, with the unit; empty if only the model has the value."""
    position: int = 0
    """Position in the table of layers."""
    bar: int = 0
    """Position of the bars in the chart, from 1; 0 draws none."""
    attribute: str = ""
    """Attribute of the results, dotted, if it is not `name`."""
    ratio: tuple[str, str] | None = None
    """Two attributes to divide instead; an empty first one is 1."""
    full_only: Literal["", "layers", "everywhere"] = ""
    """Reports that show the value only with `full_summary`."""
    per_tensor: bool = False
    """True if the text has one entry per tensor, separated by commas."""
    zero_is_unknown: bool = False
    """True if 0 stands for a value that was not measured, so that scripts can add and compare it."""
    has_si_letter: bool = True
    """True if a formatted number may have an SI prefix; memory sizes need every digit."""


def _tensors(end: Literal["input", "output"], position: int) -> tuple[Field, ...]:
    side = end.capitalize()
    rows: tuple[tuple[str, str, Literal["", "layers", "everywhere"]], ...] = (
        ("shape", "shape", ""),
        ("dtype", "type", "layers"),
        ("quantization", "quantization", "everywhere"),
    )
    return tuple(
        Field(
            f"{end}_{what}",
            f"{side} {word}",
            f"{side} {word}",
            position + i,
            attribute=f"{end}_{what}_str",
            full_only=full,
            per_tensor=True,
        )
        for i, (what, word, full) in enumerate(rows)
    )


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("index", column="Index", position=0, has_si_letter=False),
        Field("opcode", column="OpCode", position=1, attribute="opcode_str"),
        Field("name", "Name"),
        Field("method", "Method"),
        Field("accelerator", "Accelerator"),
        Field("platform", "Platform"),
        *_tensors("input", 9),
        *_tensors("output", 12),
        Field("tflite_size", "Model file (bytes)", attribute="flatbuffer_size"),
        Field("weights_size", "Weights (bytes)", "Weights (bytes)", 15, bar=7, full_only="everywhere"),
        Field(
            "runtime_memory_size",
            "Runtime memory (bytes)",
            attribute="runtime_memory_bytes",
            zero_is_unknown=True,
            has_si_letter=False,
        ),
        Field(
            "arena_head",
            "Of it activations, the arena's head (bytes)",
            attribute="memory.head",
            has_si_letter=False,
        ),
        Field(
            "arena_tail",
            "Of it structures, the arena's tail (bytes)",
            attribute="memory.tail",
            has_si_letter=False,
        ),
        Field(
            "smallest_arena",
            "Smallest arena that works (bytes)",
            attribute="memory.smallest_arena",
            has_si_letter=False,
        ),
        Field("ops", "Operations", "OPs", 2),
        Field("macs", "Multiply-accumulates", "MACs", 3, bar=1),
        Field("not_counted", "Operators not counted"),
        Field("n_layers", "Layers", has_si_letter=False),
        Field("n_unsupported_layers", "Unsupported layers", attribute="_unsupported", has_si_letter=False),
        Field("accelerator_cycles", "Accelerator cycles", "Acc cycles", 4, bar=4, zero_is_unknown=True),
        Field("cpu_cycles", "CPU cycles", "CPU cycles", 5, bar=5, zero_is_unknown=True),
        Field("cpu_utilization", "CPU utilization (%)", zero_is_unknown=True, has_si_letter=False),
        Field("cpu_clock_rate", "CPU clock (Hz)", zero_is_unknown=True),
        Field("time", "Time (s)", "Time (s)", 7, bar=3, zero_is_unknown=True),
        Field("host_time", "Time on this computer (s)", "Host time (s)", 8, bar=2),
        Field("energy", "Energy (J)", "Energy (J)", 6, bar=6, zero_is_unknown=True),
        Field("j_per_op", "Energy per operation (J)", ratio=("energy", "ops"), zero_is_unknown=True),
        Field(
            "j_per_mac", "Energy per multiply-accumulate (J)", ratio=("energy", "macs"), zero_is_unknown=True
        ),
        Field("op_per_s", "Operations per second", ratio=("ops", "time")),
        Field("mac_per_s", "Multiply-accumulates per second", ratio=("macs", "time")),
        Field("inf_per_sec", "Inferences per second", ratio=("", "time")),
        Field("options", column="Options", position=16, attribute="options_str"),
        Field("supported", column="Supported", position=17),
        Field("error_msg", column="Error", position=18),
    )
}
SUMMARY = [field for field in FIELDS.values() if field.label]
COLUMNS = sorted((field for field in FIELDS.values() if field.column), key=lambda field: field.position)
BARS = sorted((field for field in FIELDS.values() if field.bar), key=lambda field: field.bar)


def read_value(results: object, field: Field) -> object:
    """Return the value of a field from the results of a model or of a layer; `None` if it was not measured."""
    if field.ratio is not None:
        value, by = (getattr(results, name) if name else 1 for name in field.ratio)
        return divide(value, by)
    found: object = results
    for name in (field.attribute or field.name).split("."):
        found = None if found is None else getattr(found, name)
    return found


def with_unit(field: Field, value: object) -> object:
    """Return a number as text, with an SI prefix if the field may have one; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if field.has_si_letter:
        return format_units(value)
    return str(value) if isinstance(value, int) else f"{value:g}"


def is_unknown(value: object, field: Field) -> bool:
    """Return True if a value was not measured."""
    return value is None or (field.zero_is_unknown and value == 0)


def divide(value: float | None, by: float | None) -> float | None:
    """Return `value / by`; `None` if one of them is not known or `by` is zero."""
    return value / by if value is not None and by else None
