"""Model specifications that `mltk new` writes for anomaly detection."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from mltk.data import FolderLayout, read_layout
from mltk.plugins import Draft, DraftRequest

_STEPS = 800
"""Batches of a training run."""

_BATCH_SIZE = 32


def draft_image_anomaly(request: DraftRequest) -> Draft | None:
    """Return the specification of a detector of defects in images; `None` for other data, or without image plugin."""
    if find_spec("mltk_plugin_image") is None:
        return None
    from mltk_plugin_image.templates import IMAGE_FORMATS, choose_size, has_color, read_some

    layout = _read_normal(request.data, IMAGE_FORMATS)
    if layout is None:
        return None
    images = read_some(layout.sample())
    height, width = choose_size(images)
    colored = has_color(images)
    values = {
        **_common(request, layout),
        "height": height,
        "width": width,
        "kind": "color" if colored else "gray",
        "input_shape": (height, width, 3 if colored else 1),
        "stem_strides": 1 if max(height, width) <= 32 else 2,
    }
    finding = f"{layout.count:,} normal images of {width}x{height}, {values['kind']}"
    return _draft("image_anomaly", values, finding)


def draft_sound_anomaly(request: DraftRequest) -> Draft | None:
    """Return the specification of a detector of unusual sounds; `None` for other data, or without audio plugin."""
    if find_spec("mltk_plugin_audio") is None:
        return None
    from mltk_plugin_audio.templates import AUDIO_FORMATS, survey_recordings

    layout = _read_normal(request.data, AUDIO_FORMATS)
    if layout is None:
        return None
    survey = survey_recordings(layout.sample())
    rate = 16000 if survey.rate >= 16000 else 8000
    length = max(500, min(3000, int(survey.seconds * 10 + 1e-6) * 100))
    values = {**_common(request, layout), "rate": rate, "length": length, "high": f"{rate / 2 - 100:.1f}"}
    finding = f"{layout.count:,} normal recordings, {survey.rate / 1000:g} kHz; clips of {length} ms"
    return _draft("sound_anomaly", values, finding)


def _read_normal(folder: Path, formats: Iterable[str]) -> FolderLayout | None:
    """Return the layout of a data set with one class to train with; `None` for another kind of data set."""
    layout = read_layout(folder, formats)
    return layout if layout is not None and len(layout.files) == 1 else None


def _common(request: DraftRequest, layout: FolderLayout) -> dict[str, object]:
    (normal,) = layout.files
    others = [label for label in sorted(layout.test) if label != normal]
    split = 0.0 if layout.test else 0.2
    steps = max(1, round(layout.count * (1 - split) / _BATCH_SIZE))
    return {
        "name": request.name,
        "dataset": request.dataset,
        "normal": normal,
        "eval_classes": [normal, *(others or ["anomaly"])],
        "count": f"{layout.count:,}",
        "tested": (
            f"The {sum(layout.test.values()):,} test files are used for the evaluation alone."
            if layout.test
            else "There are no test files: for an evaluation, add folders 'test/normal' and 'test/anomaly'."
        ),
        "validation_split": split,
        "epochs": max(20, round(_STEPS / steps)),
    }


def _draft(template: str, values: dict[str, object], finding: str) -> Draft:
    text = Path(__file__).with_name(f"{template}.py.tmpl").read_text(encoding="utf-8")
    return Draft(Template(text).substitute(values), [finding, str(values["tested"])], suitability=0.8)
