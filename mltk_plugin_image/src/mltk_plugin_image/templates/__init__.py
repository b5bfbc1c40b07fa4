"""Model specifications that `mltk new` writes for images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from mltk.data import describe_parts, read_layout
from mltk.errors import DatasetError
from mltk.plugins import Draft, DraftRequest
from mltk_plugin_image._files import FILE_FORMATS, read_image

IMAGE_FORMATS = FILE_FORMATS
"""Suffixes of the images that can be read."""

_FEW = 2000
"""Data sets with fewer images are trained longer."""


def draft_classifier(request: DraftRequest) -> Draft | None:
    """Return the specification of a classifier; `None` if there are no two classes of images."""
    layout = read_layout(request.data, IMAGE_FORMATS)
    if layout is None or len(layout.files) < 2:
        return None
    images = read_some(layout.sample())
    height, width = choose_size(images)
    colored = has_color(images)
    channels = 3 if colored else 1
    few = layout.count < _FEW
    parts = describe_parts(layout)
    stem = _choose_stem(max(height, width))
    kind = "color" if colored else "gray"
    values = {
        "name": request.name,
        "title": f"Images of {len(layout.files)} classes.",
        "about": f"Written by `mltk new` for {layout.count:,} training images. {parts.summary}",
        "description": f"{len(layout.files)} classes of {width}x{height} {kind} images, int8",
        "dataset": request.dataset,
        "classes": layout.classes,
        "size_reason": _explain_size(images, height, width, colored),
        "input_shape": (height, width, channels),
        "parts": parts.code,
        "augmentation_reason": (
            "photos may be mirrored and lit differently; CutMix helps where photos are few."
            if colored
            else "gray symbols are moved and bent, but never mirrored."
        ),
        "augmentation": (
            "    horizontal_flip=True,\n    brightness_range=(0.85, 1.15),\n    contrast_range=(0.7, 1.3),\n"
            "    mixup=0.2,\n    cutmix=1.0,"
            if colored
            else '    fill_mode="nearest",\n    mixup=0.2,'
        ),
        "validation_split": parts.validation_split,
        "training_reason": f"{'few images are seen many times' if few else 'the images suffice for 40 epochs'}; "
        f"the last weights are used, as the learning rate ends at 0.",
        "epochs": 100 if few else 40,
        "batch_size": 64 if layout.count >= 300 else 32,
        **stem,
    }
    findings = [
        f"{layout.count:,} training images in {len(layout.files)} classes, {kind}; input {height}x{width}x{channels}",
        parts.summary,
    ]
    return Draft(_template("image").substitute(values), findings, suitability=0.6)


def _choose_stem(side: int) -> dict[str, object]:
    """Return the first convolution and the stages of the network for images of this height or width."""
    if side <= 32:
        reason, size, strides = "Small images keep their resolution in the first stage.", 3, 1
    elif side <= 64:
        reason, size, strides = "The first convolution halves the resolution; more would lose details.", 5, 2
    else:
        reason, size, strides = (
            "The first convolution reduces the resolution by four, which saves memory.",
            5,
            4,
        )
    stages = [(16, 1), (32, 2), (64, 2)] + [(64, 2)] * (strides == 2)
    return {"stem_reason": reason, "stem_size": size, "stem_strides": strides, "stages": tuple(stages)}


def read_some(paths: Sequence[Path]) -> list[np.ndarray]:
    """Return the images that can be read, as uint8 or float `(height, width, 3)`.

    Raises:
        DatasetError: None can be read; the reason is that of the first.
    """
    images, reason = [], None
    for path in paths:
        try:
            images.append(read_image(path, "rgb"))
        except DatasetError as e:
            reason = reason or e
    if not images:
        raise reason or DatasetError("There is no image to look at.")
    return images


def choose_size(images: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the input height and width: that of small images, or at most 96 for the longer side."""
    height, width = np.median([image.shape[:2] for image in images], axis=0)
    scale = min(1.0, 96 / max(height, width))
    if scale == 1.0 and max(height, width) <= 64:
        return int(height), int(width)
    return tuple(max(8, round(side * scale / 8) * 8) for side in (height, width))


def has_color(images: Sequence[np.ndarray]) -> bool:
    """Return `True` if more than a twentieth of the images have channels that differ."""
    colored = [np.ptp(image.astype(np.float32), axis=-1).max() > 8 for image in images]
    return float(np.mean(colored)) > 0.05


def _explain_size(images: Sequence[np.ndarray], height: int, width: int, colored: bool) -> str:
    sizes = {image.shape[:2] for image in images}
    color = "in color" if colored else "without color"
    if sizes == {(height, width)}:
        return f"The size of the images, {color}."
    return f"Images of {len(sizes)} sizes are resized; they are {color}."


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(f"{name}.py.tmpl").read_text(encoding="utf-8"))
