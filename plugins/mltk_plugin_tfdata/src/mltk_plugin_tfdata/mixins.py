"""`TfDataDatasetMixin`: a data set whose batches may be prepared on other machines."""

from __future__ import annotations

from typing import Any

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute
from mltk.model.mixins.dataset import DatasetMixin


def _as_address(value: str) -> str:
    from mltk_plugin_tfdata.service import parse_address

    parse_address(value)
    return value


class TfDataDatasetMixin(DatasetMixin):
    """A `DatasetMixin` whose training data, made by `seeded_batches`, may come from a `tf.data` service."""

    tf_data_service = Attribute(
        "tf_data.service",
        type=str,
        default=None,
        convert=_as_address,
        doc="`'grpc://host:port'` of a `tf.data` service's dispatcher, whose workers prepare the training's batches.",
    )

    def prepare_training_data(self: Any, x: Any) -> Any:
        """Let the workers of the service, if there is one, make the batches."""
        x = DatasetMixin.prepare_training_data(self, x)
        if self.tf_data_service is None:
            return x
        from mltk_plugin_tfdata.seeded import SeededBatches
        from mltk_plugin_tfdata.service import ServiceStream

        if not isinstance(x, SeededBatches):
            raise SpecificationError(
                f"my_model.tf_data_service is set, but the training data are of type {type(x).__name__}: "
                f"let the loader return seeded_batches(…), whose batches can be put back into their order."
            )
        x.use_service(ServiceStream(x.source, self.tf_data_service))
        return x
