"""Dataset mixin that uses the `tf.data` service."""

from __future__ import annotations

from mltk.errors import SpecificationError
from mltk.model import Attribute, DatasetMixin
from mltk_plugin_tfdata.seeded import SeededBatches
from mltk_plugin_tfdata.service import ServiceStream, parse_address


def _check_address(value: str) -> str:
    parse_address(value)
    return value


class TfDataDatasetMixin(DatasetMixin):
    """A `DatasetMixin` that can read training batches of `seeded_batches` from a `tf.data` service."""

    tf_data_service = Attribute(
        "tf_data.service",
        type=str,
        default=None,
        convert=_check_address,
        doc="Address of a `tf.data` service, `'grpc://host:port'`, whose workers prepare the training batches.",
    )

    def prepare_training_data(self, x: object) -> object:
        """Use the workers of the service for the batches, if an address is set."""
        x = DatasetMixin.prepare_training_data(self, x)
        if self.tf_data_service is None:
            return x
        if not isinstance(x, SeededBatches):
            raise SpecificationError(
                f"my_model.tf_data_service requires training data from seeded_batches(…), got {type(x).__name__}: "
                f"return seeded_batches(…) from the loader, or remove tf_data_service."
            )
        x.use_service(ServiceStream(x.source, self.tf_data_service))
        return x
