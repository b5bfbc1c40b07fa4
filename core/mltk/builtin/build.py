"""Build the model with the function that the specification names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.plugins._manager import hookimpl

if TYPE_CHECKING:
    import keras

    from mltk.model.model import MltkModel


@hookimpl(trylast=True)
def mltk_build_model(mltk_model: MltkModel) -> keras.Model | None:
    """Call the specification's `build_model_function`."""
    return mltk_model.build_model_function(mltk_model)
