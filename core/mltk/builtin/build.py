"""Build the model with the function that the specification names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.errors import SpecificationError
from mltk.plugins import hookimpl
from mltk.utils.calls import check_call

if TYPE_CHECKING:
    import keras

    from mltk.model.model import MltkModel


@hookimpl(trylast=True)
def mltk_build_model(mltk_model: MltkModel) -> keras.Model | None:
    """Call the specification's `build_model_function`.

    Raises:
        SpecificationError: There is none.
    """
    if "train.build_model_function" not in mltk_model.attributes.stored:
        raise SpecificationError(
            f"The model '{mltk_model.name}' has no build_model_function. "
            f"Set my_model.build_model_function = f, where f(my_model) returns a compiled Keras model."
        )
    check_call(mltk_model.build_model_function, "my_model.build_model_function", mltk_model)
    return mltk_model.build_model_function(mltk_model)
