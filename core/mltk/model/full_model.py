"""The type of a full model specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.model.model import MltkModel

if TYPE_CHECKING:
    from mltk.model.mixins.dataset import DatasetMixin
    from mltk.model.mixins.evaluate import EvaluateClassifierMixin
    from mltk.model.mixins.train import TrainMixin

    class FullModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
        """A specification that has all mixins of core.

        Operations check for the mixins that they need, then work on this type.
        """
else:
    FullModel = MltkModel
