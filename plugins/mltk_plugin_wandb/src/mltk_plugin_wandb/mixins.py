"""`WeightsAndBiasesMixin`: the settings of a model whose runs are logged at Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from mltk.model.attributes import Attribute
from mltk.utils.logging import get_mltk_logger
from mltk_plugin_wandb._session import session_id


class WeightsAndBiasesMixin:
    """Logs training, quantization and evaluation to a run at https://wandb.ai, or to a folder (`WANDB_MODE=offline`).

    Nothing happens, and `wandb` is not even imported, unless the operation may post-process: `mltk train --post`,
    `train_model(…, post_process=True)`.
    """

    wandb_is_disabled = Attribute(
        "wandb.is_disabled", type=bool, default=False, doc="Log nothing, also where `--post` is given."
    )
    wandb_init_kwargs = Attribute(
        "wandb.init_kwargs",
        type=dict,
        default={},
        doc="Arguments of `wandb.init`, over those that are set here: project, job_type, dir, id, resume.",
    )
    wandb_config = Attribute(
        "wandb.config", type=dict, default={}, doc="More for the run's configuration: what it depends on."
    )
    wandb_callback = Attribute(
        "wandb.callback",
        default=None,
        lazy=True,
        doc="A Keras callback in place of the one that logs the metrics of each epoch, or a class or function "
        "without arguments that makes one when the run is open; `False` for none.",
    )
    wandb_model_checkpoint_callback = Attribute(
        "wandb.model_checkpoint_callback",
        default=None,
        lazy=True,
        doc="One more Keras callback, to upload weights during the training; as `wandb_callback`.",
    )

    # The open run (`wandb.Run`), and for each operation on the way, the outermost first, whether it may use it.
    _wandb_run: Any = None
    _wandb_permissions: tuple[bool, ...] = ()
    _wandb_evaluates_tflite: bool = False

    @property
    def wandb_is_initialized(self) -> bool:
        """Whether there is an open run that the current operation logs to."""
        return self._wandb_run is not None and bool(self._wandb_permissions) and all(self._wandb_permissions)

    @property
    def wandb_session_id(self: Any) -> str | None:
        """The id of the run: the open one, else the one that the archived model was trained in, if any."""
        return self._wandb_run.id if self._wandb_run is not None else session_id(self)

    def wandb_save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        logger: logging.Logger | None = None,
    ) -> None:
        """Upload files to the run; does nothing without one. A failure is an error message, nothing more.

        Args:
            glob_str: Path, or pattern, of the files.
            base_path: The files keep their place relative to this folder.
            policy: `'live'`: whenever they change; `'now'`; `'end'`: when the run ends.
            logger: For messages.
        """
        if glob_str is None or not self.wandb_is_initialized:
            return
        try:
            self._wandb_run.save(glob_str, base_path=base_path, policy=policy)
        except Exception as e:  # noqa: BLE001 - whatever a service answers must not end a training
            (logger or get_mltk_logger()).error(f"{glob_str} could not be uploaded to Weights & Biases: {e}")

    def wandb_log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = True,
        logger: logging.Logger | None = None,
    ) -> None:
        """Log values to the run; does nothing without one. A failure is an error message, nothing more.

        Args:
            data: Numbers, texts, `wandb.Image`, … by name.
            step: The step they belong to; by default the run's next one.
            commit: Whether the step is complete with them.
            logger: For messages.
        """
        if not self.wandb_is_initialized:
            return
        try:
            self._wandb_run.log(dict(data), step=step, commit=commit)
        except Exception as e:  # noqa: BLE001 - see wandb_save
            (logger or get_mltk_logger()).error(
                f"{', '.join(data)} could not be logged to Weights & Biases: {e}"
            )
