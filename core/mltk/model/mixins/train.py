"""Training and conversion settings of a model."""

from __future__ import annotations

import re
from pathlib import Path

from mltk.errors import ModelNotFoundError, SpecificationError
from mltk.keras.private import get_metric_direction
from mltk.keras.run_files import read_best
from mltk.model.attributes import Attribute
from mltk.model.base import ModelBase

CHECKPOINT_DEFAULTS: dict[str, object] = {
    "monitor": "val_accuracy",
    "save_best_only": True,
    "save_weights_only": True,
    "mode": "auto",
    "save_freq": "epoch",
    "verbose": 0,
}

CONVERTER_DEFAULTS: dict[str, object] = {
    "optimizations": ["DEFAULT"],
    "supported_ops": ["TFLITE_BUILTINS_INT8"],
    "inference_input_type": "float32",
    "inference_output_type": "float32",
    "representative_dataset": "generate",
    "representative_dataset_max_samples": 1000,
    "generate_unquantized": True,
    "generate_quantization_report": False,
    "allow_custom_ops": False,
    "experimental_new_converter": True,
    "experimental_new_quantizer": True,
    "experimental_enable_resource_variables": False,
}

_EPOCH_FILE = re.compile(r"weights-(\d+)(?:-(-?[\d.]+))?(?:\.weights)?\.h5\Z")


def _no_build_function(mltk_model: object) -> object:
    raise NotImplementedError


def _as_schedule(value: object) -> dict[str, object]:
    if callable(value):
        return {"schedule": value, "verbose": 0}
    if not isinstance(value, dict):
        raise SpecificationError(
            f"my_model.lr_schedule must be a function f(epoch, lr) or a dict, not {type(value).__name__}."
        )
    return value


def _as_batch_size(value: int) -> int:
    if value < 1:
        raise SpecificationError(f"my_model.batch_size must be at least 1, not {value}.")
    return value


def _as_epochs(value: int) -> int:
    if value < 1 and value != -1:
        raise SpecificationError(
            f"my_model.epochs must be at least 1, or -1 to train until EarlyStopping, not {value}."
        )
    return value


def _as_count(value: int | None) -> int | None:
    if value is not None and value < 1:
        raise SpecificationError(f"my_model.checkpoints_to_keep must be at least 1, or None, not {value}.")
    return value


def _as_shipped(value: str) -> str:
    if value not in ("best", "last"):
        raise SpecificationError(f"my_model.ship_weights must be 'best' or 'last', not '{value}'.")
    return value


def _as_function(value: object) -> object:
    if not callable(value):
        raise SpecificationError(
            f"my_model.build_model_function must be a function, not {type(value).__name__}."
        )
    return value


class TrainMixin(ModelBase):
    """The network, training settings, callbacks and converter settings of a model.

    A callback property holds the keyword arguments of the Keras callback; empty or `None` switches it off.
    """

    build_model_function = Attribute(
        "train.build_model_function",
        default=_no_build_function,
        convert=_as_function,
        doc="`f(my_model) -> keras.Model`, compiled.",
    )
    epochs = Attribute(
        "train.epochs", type=int, default=100, lazy=True, convert=_as_epochs, doc="-1: until early stopping."
    )
    batch_size = Attribute("train.batch_size", type=int, default=32, lazy=True, convert=_as_batch_size)
    optimizer = Attribute(
        "train.optimizer",
        default="adam",
        lazy=True,
        doc="Name, optimizer, or class or function that makes one.",
    )
    metrics = Attribute("train.metrics", type=(list, tuple), default=["accuracy"], lazy=True)
    loss = Attribute(
        "train.loss", default="categorical_crossentropy", doc="Name, function or `keras.losses.Loss`."
    )
    deterministic = Attribute(
        "train.deterministic",
        type=bool,
        default=True,
        doc="Use only TensorFlow kernels that give the same bits on each run.",
    )
    train_callbacks = Attribute(
        "train.callbacks", type=(list, tuple), default=[], doc="Further Keras callbacks."
    )
    train_kwargs = Attribute("train.kwargs", type=dict, default={}, doc="Merged over the arguments of `fit`.")

    checkpoints_enabled = Attribute(
        "train.checkpoints_enabled",
        type=bool,
        default=True,
        doc="Save the state after each epoch; `--resume` needs it.",
    )
    checkpoints_to_keep = Attribute(
        "train.checkpoints_to_keep",
        type=int,
        default=3,
        optional=True,
        convert=_as_count,
        doc="Number of last epochs whose states are kept; None keeps all.",
    )
    ship_weights = Attribute(
        "train.ship_weights",
        type=str,
        default="last",
        convert=_as_shipped,
        doc="Weights that are saved, quantized and evaluated: those of the `'last'` epoch, or the `'best'` ones.",
    )
    checkpoint = Attribute(
        "train.checkpoint",
        type=dict,
        default=CHECKPOINT_DEFAULTS,
        optional=True,
        doc="keras ModelCheckpoint.",
    )
    early_stopping = Attribute(
        "train.early_stopping", type=dict, default={}, optional=True, doc="keras EarlyStopping."
    )
    reduce_lr_on_plateau = Attribute(
        "train.reduce_lr_on_plateau",
        type=dict,
        default={},
        optional=True,
        doc="keras ReduceLROnPlateau; not used with `lr_schedule`.",
    )
    tensorboard = Attribute(
        "train.tensorboard", type=dict, default={}, optional=True, doc="keras TensorBoard."
    )
    lr_schedule = Attribute(
        "train.lr_schedule",
        default={},
        optional=True,
        convert=_as_schedule,
        doc="keras LearningRateScheduler: its arguments, or the schedule function `f(epoch, lr) -> lr`.",
    )

    tflite_converter = Attribute(
        "train.tflite_converter",
        type=dict,
        default=CONVERTER_DEFAULTS,
        optional=True,
        doc="Settings of the TensorFlow Lite converter; an assigned dict replaces all.",
    )
    on_training_complete = Attribute("train.on_training_complete", default=None, doc="`f(results)`.")
    on_save_keras_model = Attribute(
        "train.on_save_keras_model",
        default=None,
        doc="`f(mltk_model, keras_model, logger) -> keras.Model`: returns the model to save.",
    )

    @property
    def checkpoints_dir(self) -> str:
        """Folder with the state after each epoch."""
        return str(self.create_log_dir("train/checkpoints"))

    @property
    def weights_dir(self) -> str:
        """Folder with the best weights so far."""
        return str(self.create_log_dir("train/weights"))

    @property
    def weights_file_format(self) -> str:
        """File name of the best weights, with the epoch and the watched value as fields."""
        monitor = (self.checkpoint or CHECKPOINT_DEFAULTS).get("monitor", "val_accuracy")
        return f"weights-{{epoch:03d}}-{{{monitor}:.4f}}.weights.h5"

    def get_checkpoint_path(self, epoch: int | None = None) -> str | None:
        """Return the weights after an epoch.

        Args:
            epoch: Counted from 1; `None` or -1 for the last one.

        Returns:
            The path, or `None` when there is none.
        """
        found = {int(m[1]): path for path, m in _epoch_files(Path(self.checkpoints_dir))}
        if not found:
            return None
        path = found.get(max(found) if epoch is None or epoch < 0 else epoch)
        return str(path) if path else None

    def get_weights_path(self, filename: str | None = None) -> str:
        """Return a weights file.

        Args:
            filename: Absolute path, name in `weights_dir` (with or without ending), or `'best'` (also `None`): the best
                by the value that `checkpoint` monitors, as recorded by the training run.

        Raises:
            ModelNotFoundError: There is no such file.
            SpecificationError: No record is there, and Keras does not know whether less or more is better.
        """
        folder = Path(self.weights_dir)
        if filename and filename != "best":
            for name in (filename, f"{filename}.weights.h5", f"{filename}.h5"):
                path = folder / name
                if path.is_file():
                    return str(path)
            raise ModelNotFoundError(f"There is no weights file '{filename}', neither here nor in {folder}.")
        recorded = read_best(folder)
        if recorded:
            return str(recorded[1])
        # Files of silabs-mltk, or of a callback of the specification: the value is in the name.
        rated = [(float(m[2].rstrip(".")), int(m[1]), path) for path, m in _epoch_files(folder) if m[2]]
        if not rated:
            raise ModelNotFoundError(f"There are no weights in {folder}. Train the model first.")
        return str((min if self._direction_of_checkpoint() == "min" else max)(rated)[2])

    def _direction_of_checkpoint(self) -> str:
        settings = self.checkpoint or CHECKPOINT_DEFAULTS
        mode, monitor = settings.get("mode", "auto"), str(settings.get("monitor", "val_accuracy"))
        if mode == "auto":
            mode = get_metric_direction(monitor.removeprefix("val_"))
        if mode not in ("min", "max"):
            raise SpecificationError(
                f"Keras does not know whether less or more {monitor} is better. "
                f"Set my_model.checkpoint['mode'] to 'min' or 'max'."
            )
        return str(mode)


def _epoch_files(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    matches = ((path, _EPOCH_FILE.match(path.name)) for path in sorted(folder.iterdir()))
    return [(path, match) for path, match in matches if match]
