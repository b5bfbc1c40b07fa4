"""Compare models side by side. No code of a file is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mltk.errors import FileFormatError, MltkError, SpecificationError
from mltk.model.model import MltkModel
from mltk.operations.evaluation.run import folder_of_file
from mltk.operations.profilers import choose_profiler
from mltk.plugins import ReportContext, report_figures
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite import TfliteModel
from mltk.tflite.metrics import tflite_model_metrics
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.logging import get_mltk_logger
from mltk.utils.string_formatting import format_table, format_units
from mltk.utils.structured import parse_json

_RESULTS = re.compile(r"eval/([^/]+)/eval-results\.json")
_FIRST_KINDS = ("h5", "tflite")


@dataclass(frozen=True)
class Evaluation:
    """Comparable results of an evaluation; ratios from 0 to 1."""

    accuracy: float | None = None
    class_accuracies: Mapping[str, float] | None = None
    roc_auc: float | None = None
    """Area under the ROC curve; of several classes the mean."""


@dataclass(frozen=True)
class ComparedModel:
    """A model of a comparison; unknown values are `None`."""

    name: str
    source: str
    """The name or path that was given."""
    version: int | None
    tflite_size: int
    """Bytes of the `.tflite`."""
    runtime_memory_size: int | None
    """Bytes of working memory: as the `.tflite` says, else as the default profiler measures."""
    macs: int
    """Multiply-accumulates of one inference."""
    ops: int
    n_layers: int
    evaluations: Mapping[str, Evaluation]
    """By what ran the model: `h5`, `tflite`, or the name of another runtime."""
    not_counted: str | None = None
    """Operators that `macs` and `ops` do not include, separated by commas."""
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
    """Figures of plugins (hook `mltk_report_sections`), by label."""


class ModelComparison:
    """Several models side by side.

    Args:
        models: The models, in the order of the columns.
    """

    def __init__(self, models: Iterable[ComparedModel]) -> None:
        self.models = list(models)

    def to_dict(self) -> dict[str, list[dict[str, object]]]:
        """Return `{"models": [...]}` with the fields of `ComparedModel`, for JSON."""
        return {"models": [asdict(model) for model in self.models]}

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_string(self) -> str:
        """Return a table with one column per model."""
        rows: list[tuple[str, list[str]]] = []

        def add(label: str, values: Sequence[Any], shown: Callable[[Any], str]) -> None:
            if any(value is not None for value in values):
                rows.append((label, ["-" if value is None else shown(value) for value in values]))

        def add_field(label: str, name: str, shown: Callable[[Any], str]) -> None:
            add(label, [getattr(model, name) for model in self.models], shown)

        add_field("Version", "version", str)
        add_field("Model file", "tflite_size", lambda size: f"{format_units(size)}B")
        # To the byte: it is copied into firmware.
        add_field("Runtime memory (bytes)", "runtime_memory_size", str)
        add_field("Multiply-accumulates", "macs", format_units)
        add_field("Operations", "ops", format_units)
        add_field("Operators not counted", "not_counted", str)
        add_field("Layers", "n_layers", str)
        for label in dict.fromkeys(label for model in self.models for label in model.figures):
            add(label, [model.figures.get(label) for model in self.models], str)
        for kind in self._kinds():
            found = [model.evaluations.get(kind, Evaluation()) for model in self.models]
            add(f"Accuracy, {kind}", [e.accuracy for e in found], "{:.3%}".format)
            add(f"ROC AUC, {kind}", [e.roc_auc for e in found], "{:.3%}".format)
            classes = dict.fromkeys(name for e in found for name in e.class_accuracies or ())
            for name in classes:
                values = [(e.class_accuracies or {}).get(name) for e in found]
                add(f"  {name}, {kind}", values, "{:.3%}".format)
        return format_table(["", *self._headings()], [[label, *values] for label, values in rows])

    def __str__(self) -> str:
        return self.to_string()

    def _kinds(self) -> list[str]:
        found = {kind for model in self.models for kind in model.evaluations}
        return [*(k for k in _FIRST_KINDS if k in found), *sorted(found.difference(_FIRST_KINDS))]

    def _headings(self) -> list[str]:
        names = [model.name for model in self.models]
        return [m.source if names.count(m.name) > 1 else m.name for m in self.models]


def compare_models(models: Iterable[MltkModel | str | Path], test: bool = False) -> ModelComparison:
    """Compare trained models: accuracy as it was evaluated, size, working memory, operations.

    The evaluations are those in the archives (else, for a specification, in its log folder; for a bare `.tflite`, where
    `evaluate` puts them by default).

    Args:
        models: Names, specifications, archives or `.tflite` files. No code is run from any of them.
        test: Compare the files of trial runs.

    Raises:
        SpecificationError: There is nothing to compare.
        ModelNotFoundError: There is no such model.
        ArchiveFileNotFoundError: It was not trained or quantized yet.
        FileFormatError: A file is damaged.
    """
    compared = [_compare(model, test) for model in models]
    if not compared:
        raise SpecificationError("There is nothing to compare: name at least one model.")
    return ModelComparison(compared)


def _compare(model: MltkModel | str | Path, test: bool) -> ComparedModel:
    source = ModelSource.of(model, test=test)
    given = model.name if isinstance(model, MltkModel) else str(model)
    tflite_model = source.tflite()
    parameters = TfliteModelParameters.load_from_tflite_model(tflite_model)
    metrics = tflite_model_metrics(tflite_model)
    contents = _results(source)
    version = parameters.get("version")
    name = parameters.get("name")
    return ComparedModel(
        name=name if isinstance(name, str) and name else tflite_model.name,
        source=given,
        version=version if isinstance(version, int) else None,
        tflite_size=tflite_model.flatbuffer_size,
        runtime_memory_size=_memory(tflite_model, parameters),
        macs=metrics.macs,
        ops=metrics.ops,
        not_counted=", ".join(metrics.not_counted) or None,
        n_layers=len(tflite_model.layers),
        evaluations={kind: _evaluation(content, f"{kind} of {given}") for kind, content in contents.items()},
        figures=report_figures(
            ReportContext(
                tflite_model=tflite_model,
                evaluations={kind: parse_json(c, f"The evaluation {kind}") for kind, c in contents.items()},
            )
        ),
    )


def _memory(tflite_model: TfliteModel, parameters: TfliteModelParameters) -> int | None:
    size = parameters.get("runtime_memory_size")
    if isinstance(size, int):
        return size
    try:
        return choose_profiler(None).profile(tflite_model).runtime_memory_bytes or None
    except MltkError as error:
        get_mltk_logger().warning("The memory of %s is not known. %s", tflite_model.source, error)
        return None


def _results(source: ModelSource) -> dict[str, bytes]:
    """Return the files with results of evaluations, by kind: those in the archive, else in the log folder."""
    if source.kind is SourceKind.TFLITE:
        path = folder_of_file(source.path or Path(source.name)) / "eval-results.json"
        return {"tflite": path.read_bytes()} if path.is_file() else {}
    archive = source.archive()
    log_dir = source.log_dir
    found = {}
    if log_dir is not None:
        found = {p.parent.name: p.read_bytes() for p in log_dir.glob("eval/*/eval-results.json")}
    for member in archive.names():
        match = _RESULTS.fullmatch(member)
        if match is not None:
            found[match[1]] = archive.read(member)
    return found


def _evaluation(content: bytes, what: str) -> Evaluation:
    """Return what is in a file with results.

    Raises:
        FileFormatError: It is damaged.
    """
    results = parse_json(content, f"The file with the results of the evaluation {what}")
    if not isinstance(results, dict):
        raise FileFormatError(f"The results of the evaluation {what} are damaged: they are no mapping.")
    classes, accuracies = results.get("classes"), results.get("class_accuracies")
    by_class = None
    if isinstance(classes, list) and isinstance(accuracies, list) and len(classes) == len(accuracies):
        by_class = {
            str(c): a for c, a in zip(classes, map(_number, accuracies), strict=True) if a is not None
        }
    return Evaluation(
        accuracy=_number(results.get("overall_accuracy")),
        class_accuracies=by_class or None,
        roc_auc=_number(results.get("roc_auc_avg", results.get("overall_roc_auc"))),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
