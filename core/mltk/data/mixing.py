"""Mix the samples of a finished batch and their labels: mixup and CutMix.

Both make a network less certain between classes, which helps most where samples are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mltk.data.checks import check_number
from mltk.errors import SpecificationError
from mltk.plugins.types import AugmentationStep

MIX_STEP = "mix"
"""Name of the built-in augmentation step for finished batches."""


@dataclass(frozen=True)
class Mixing:
    """Mix each sample of a batch with another one of the batch.

    mixup (Zhang et al., 2018) blends whole samples; CutMix (Yun et al., 2019) replaces a rectangle. Labels are mixed
    in the same shares. If both are set, each batch gets one of them.
    """

    mixup: float = 0.0
    """Parameter of the beta distribution of the shares: 0.2 mostly keeps one of the two samples, 1 draws every share
    equally often; 0 disables mixup."""
    cutmix: float = 0.0
    """The same for the share of the area that is replaced."""

    def __call__(
        self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mixed batch.

        Args:
            x: Floats, `(n, …)`; for CutMix `(n, height, width, …)`.
            y: One-hot labels, `(n, classes)`.
            rng: Random generator of the batch.

        Raises:
            SpecificationError: The labels are not one-hot.
        """
        if y.ndim != 2 or y.shape[1] < 2:
            raise SpecificationError(
                f"The augmentation step '{MIX_STEP}' mixes labels, so they must be one-hot: set "
                f"my_model.class_mode = 'categorical' and a loss such as 'categorical_crossentropy'."
            )
        cuts = bool(self.cutmix) and (not self.mixup or rng.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
        partner = rng.permutation(len(x))
        if cuts:
            inside = _draw_rectangles(x.shape[:3], share, rng)
            share = inside.mean(axis=(1, 2), dtype=np.float32)
            x = np.where(inside.reshape(*inside.shape, *[1] * (x.ndim - 3)), x[partner], x)
        else:
            part = share.reshape(-1, *[1] * (x.ndim - 1))
            x = x + part * (x[partner] - x)
        return x, y + share[:, None] * (y[partner] - y)


def make_mixing_step(mixup: float, cutmix: float) -> AugmentationStep | None:
    """Return the augmentation step for these settings; `None` if both are 0.

    Raises:
        SpecificationError: A setting is not a number of at least 0.
    """
    mixing = Mixing(check_number("mixup", mixup, minimum=0), check_number("cutmix", cutmix, minimum=0))
    return AugmentationStep(MIX_STEP, "batch", mixing) if mixing.mixup or mixing.cutmix else None


def check_mixable(name: str, x: object, labels: tuple[np.ndarray, ...]) -> None:
    """Check that a step of the stage `batch` can be applied.

    Raises:
        SpecificationError: There are several inputs, or no labels.
    """
    if isinstance(x, tuple):
        raise SpecificationError(
            f"The augmentation step '{name}' takes one input, but the data have {len(x)}."
        )
    if not labels:
        raise SpecificationError(
            f"The augmentation step '{name}' changes labels, but the batches have none: set my_model.class_mode."
        )


def _draw_rectangles(shape: tuple[int, ...], share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return bool `(n, height, width)`: one rectangle of each image, of about `share` of its area."""
    count, height, width = shape
    inside = []
    for size in (height, width):
        half = size * np.sqrt(share) / 2
        middle = rng.uniform(0, size, count)
        position = np.arange(size)[None]
        inside.append(
            (position >= np.rint(middle - half)[:, None]) & (position < np.rint(middle + half)[:, None])
        )
    rows, columns = inside
    return np.asarray(rows[:, :, None] & columns[:, None, :])
