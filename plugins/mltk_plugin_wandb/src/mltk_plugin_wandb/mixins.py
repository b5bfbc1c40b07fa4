"""`WeightsAndBiasesMixin`: settings of a model that logs to Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from mltk.model.attributes import Attribute
from mltk.utils.logging import get_mltk_logger
from mltk_plugin_wandb._session import session_id
from mltk_plugin_wandb._state import state_of


class WeightsAndBiasesMixin:
    """Log training, quantization and evaluation to a run at https://wandb.ai, or to a folder (`WANDB_MODE=offline`).

    Nothing is logged, and `wandb` is not imported, unless the operation may post-process: `mltk train --post`,
    `train_model(…, post_process=True)`.
    """

    wandb_is_disabled = Attribute(
        "wandb.is_disabled", type=bool, default=False, doc="Log nothing, even with `--post`."
    )
    wandb_init_kwargs = Attribute(
        "wandb.init_kwargs",
        type=dict,
        default={},
        doc="Arguments of `wandb.init`. They override the defaults for project, job_type, dir, id and resume.",
    )
    wandb_config = Attribute(
        "wandb.config", type=dict, default={}, doc="Additional entries of the run's configuration."
    )
    wandb_callback = Attribute(
        "wandb.callback",
        default=None,
        lazy=True,
        doc="Keras callback that replaces the one that logs the metrics of each epoch, or a class or function "
        "without arguments that returns one when the run is open; `False` for none.",
    )
    wandb_model_checkpoint_callback = Attribute(
        "wandb.model_checkpoint_callback",
        default=None,
        lazy=True,
        doc="Additional Keras callback, e.g. to upload weights during training; see `wandb_callback`.",
    )

    @property
    def wandb_is_initialized(self) -> bool:
        """True if there is an open run that the current operation logs to."""
        return state_of(self).is_active

    @property
    def wandb_session_id(self) -> str | None:
        """The id of the open run, or of the run in which the archived model was trained; `None` without one."""
        run = state_of(self).run
        return run.id if run is not None else session_id(cast("WandbModel", self))

    def wandb_save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        logger: logging.Logger | None = None,
    ) -> None:
        """Upload files to the run, if there is one. A failure is only logged.

        Args:
            glob_str: Path, or pattern, of the files.
            base_path: Folder to which the uploaded paths are relative.
            policy: `'live'`: whenever they change; `'now'`; `'end'`: when the run ends.
            logger: For messages.
        """
        if glob_str is None or not self.wandb_is_initialized:
            return
        try:
            state_of(self).open_run.save(glob_str, base_path=base_path, policy=policy)
        except Exception as e:  # noqa: BLE001 - an error of the service must not stop a training run
            (logger or get_mltk_logger()).error(f"{glob_str} could not be uploaded to Weights & Biases: {e}")

    def wandb_log(
        self,
        data: Mapping[str, object],
        step: int | None = None,
        commit: bool | None = True,
        logger: logging.Logger | None = None,
    ) -> None:
        """Log values to the run, if there is one. A failure is only logged.

        Args:
            data: Numbers, strings, `wandb.Image` objects by name.
            step: Step of the values; by default the next one.
            commit: Complete the step.
            logger: For messages.
        """
        if not self.wandb_is_initialized:
            return
        try:
            state_of(self).open_run.log(dict(data), step=step, commit=commit)
        except Exception as e:  # noqa: BLE001 - see wandb_save
            (logger or get_mltk_logger()).error(
                f"{', '.join(data)} could not be logged to Weights & Biases: {e}"
            )


if TYPE_CHECKING:
    from mltk.model import DatasetMixin, MltkModel, TrainMixin

    class WandbModel(MltkModel, TrainMixin, DatasetMixin, WeightsAndBiasesMixin):
        """The type of a full specification that logs to Weights & Biases."""
