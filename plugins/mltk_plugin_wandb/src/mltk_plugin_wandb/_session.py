"""Log the events of a model to Weights & Biases."""

from __future__ import annotations

import html
import io
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.model.event import MltkModelEvent
from mltk.results.evaluation import plain_value
from mltk.utils.dates import source_date
from mltk.utils.files import atomic_write
from mltk_plugin_wandb._state import state_of

if TYPE_CHECKING:
    from mltk_plugin_wandb.mixins import WandbModel

Details = Mapping[str, Any]
"""Values of any type by name: arguments of an event, results."""

SESSION_MEMBER = "wandb/session_id.txt"
# A new training run empties this folder, so a file found here belongs to the training run that is resumed.
_SESSION_FILE = "train/wandb_session_id.txt"


def follow(model: WandbModel, event: MltkModelEvent, details: Details) -> None:
    """Log an event.

    A failure does not stop the operation: it is recorded in the model, and the run is no longer used.
    """
    state = state_of(model)
    if event in _STARTUP:
        may = bool(details["post_process"]) and not details.get("build") and not model.wandb_is_disabled
        state.permissions += (may,)
        state.evaluates_tflite = bool(details.get("tflite"))
    try:
        if event in _STARTUP and state.permissions == (True,):
            _open(model, _STARTUP[event])
        elif event in _HANDLERS and state.is_active:
            _HANDLERS[event](model, details)
    except Exception as e:  # noqa: BLE001 - errors of a network, a service or a disk must not stop a training run
        state.run = None
        model.record_failure(f"Weights & Biases could not log {event.name}", e)
    finally:
        if event in _SHUTDOWN:
            state.permissions = state.permissions[:-1]


def session_id(model: WandbModel) -> str | None:
    """Return the id of the run in which the archived model was trained, or `None`."""
    if SESSION_MEMBER in model.archive.names():
        return str(model.archive.read(SESSION_MEMBER).decode("utf-8", "replace")).strip() or None
    return _id_of_training(model)


def _id_of_training(model: WandbModel) -> str | None:
    path = Path(model.log_dir) / _SESSION_FILE
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def _open(model: WandbModel, job: str) -> None:
    """Open a run, or continue the open one if the model was trained in it."""
    import wandb

    known = _id_of_training(model) if job == "train" else session_id(model)
    current = wandb.run
    if current is not None:
        if known == current.id and state_of(model).run is current:
            return
        # The run of another model, or of an earlier training run in this process.
        wandb.finish()
    # Sortable, as in the reference; the random digits distinguish training runs of the same second.
    run_id = known or f"{source_date():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    arguments: dict[str, Any] = {
        "project": f"{model.name}-test" if model.test_mode_enabled else model.name,
        "job_type": job,
        "dir": model.log_dir,
        "id": run_id,
        "resume": "allow" if known else "never",
        **model.wandb_init_kwargs,
    }
    run = wandb.init(**arguments)
    state_of(model).run = run
    if job == "train":
        atomic_write(Path(model.log_dir) / _SESSION_FILE, str(run.id))
    if model.wandb_config:
        _configure(model, **model.wandb_config)


def _configure(model: WandbModel, **values: object) -> None:
    state_of(model).open_run.config.update(plain_value(values, "wandb_config"), allow_val_change=True)


def _after_build(model: WandbModel, details: Details) -> None:
    _configure(model, parameters=details["keras_model"].count_params())


def _before_train(model: WandbModel, details: Details) -> None:
    fit_kwargs = details["fit_kwargs"]
    _configure(
        model,
        epochs=fit_kwargs["epochs"],
        batch_size=model.batch_size,
        classes=model.attributes.stored.get("dataset.classes"),
        class_weights=fit_kwargs["class_weight"],
        seed=model.seed,
        version=model.version,
        description=model.description,
    )
    callback = model.wandb_callback
    if callback is None:
        from mltk_plugin_wandb._callback import EpochLogger

        callback = EpochLogger(model)
    added = [c for c in (callback, model.wandb_model_checkpoint_callback) if c]
    # Not added to the specification's callbacks, which must be the same when training is resumed without --post.
    fit_kwargs["callbacks"] = [*fit_kwargs["callbacks"], *added]


def _summarize_model(model: WandbModel, details: Details) -> None:
    if getattr(model, "loaded_subset", None) == "training":
        _log_text(model, "model_summary", details["summary_dict"]["value"])


def _summarize_dataset(model: WandbModel, details: Details) -> None:
    _log_text(model, f"dataset_summary-{model.loaded_subset}", details["summary_dict"]["value"])


def _log_text(model: WandbModel, name: str, text: str) -> None:
    import wandb

    if text:
        state_of(model).open_run.log({name: wandb.Html(f"<pre>{html.escape(text)}</pre>")})


def _after_save_archive(model: WandbModel, details: Details) -> None:
    model.archive.update({SESSION_MEMBER: state_of(model).open_run.id.encode()})


def _train_shutdown(model: WandbModel, details: Details) -> None:
    results = details["results"]
    if results is None:
        state_of(model).open_run.finish(exit_code=1)
        state_of(model).run = None
        return
    name, value = results.get_best_metric()
    if name is not None:
        state_of(model).open_run.summary[f"best_{name}"] = value
    _upload(model)


def _quantize_shutdown(model: WandbModel, details: Details) -> None:
    tflite_model = details["tflite_model"]
    if tflite_model is None:
        return
    state_of(model).open_run.summary["tflite_size"] = tflite_model.flatbuffer_size
    # A training run uploads at its end.
    if len(state_of(model).permissions) == 1:
        _upload(model)


def _plot(model: WandbModel, details: Details) -> None:
    import wandb
    from PIL import Image

    # wandb draws figures only with pyplot, which may open windows.
    picture = io.BytesIO()
    details["fig"].savefig(picture, format="png")
    kind = "tflite" if details["tflite"] else "keras"
    state_of(model).open_run.log({f"{details['name']}-{kind}": wandb.Image(Image.open(picture))})


def _evaluate_shutdown(model: WandbModel, details: Details) -> None:
    if details["results"] is None:
        return
    kind = "tflite" if state_of(model).evaluates_tflite else "keras"
    for name, results in {"": details["results"], **details["results"].others}.items():
        suffix = f"-{name}" if name else ""
        _log_text(model, f"eval_summary-{kind}{suffix}", results.generate_summary())
        for key, value in _figures(plain_value(results, "results")):
            state_of(model).open_run.summary[f"eval-{kind}{suffix}/{key}"] = value
    _upload(model)


def _figures(results: Details) -> Iterator[tuple[str, float]]:
    """Yield the scalars of the results (`accuracy`, `class_accuracies/cat`); no curves and no matrices."""
    classes = results.get("classes") or ()
    for key, value in results.items():
        if isinstance(value, list) and len(value) == len(classes):
            value = dict(zip(classes, value, strict=True))
        named = {f"{key}/{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        for name, figure in named.items():
            if isinstance(figure, (int, float)):
                yield name, figure


def _upload(model: WandbModel) -> None:
    run = state_of(model).open_run
    folder = Path(run.settings.files_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = (
        model.archive_path,
        model.model_specification_path,
        model.keras_log_dir_path,
        model.tflite_log_dir_path,
    )
    for path in map(Path, filter(None, paths)):
        if path.is_file():
            # A copy, because a link would upload the file as it is at the time of `wandb sync`.
            copy = shutil.copyfile(path, folder / path.name)
            run.save(copy, base_path=folder, policy="now")


_STARTUP = {
    MltkModelEvent.TRAIN_STARTUP: "train",
    MltkModelEvent.QUANTIZE_STARTUP: "quantize",
    MltkModelEvent.EVALUATE_STARTUP: "evaluate",
}
_SHUTDOWN = (
    MltkModelEvent.TRAIN_SHUTDOWN,
    MltkModelEvent.QUANTIZE_SHUTDOWN,
    MltkModelEvent.EVALUATE_SHUTDOWN,
)
_HANDLERS: Mapping[MltkModelEvent, Callable[[WandbModel, Details], None]] = {
    MltkModelEvent.AFTER_BUILD_TRAIN_MODEL: _after_build,
    MltkModelEvent.BEFORE_TRAIN: _before_train,
    MltkModelEvent.SUMMARIZE_MODEL: _summarize_model,
    MltkModelEvent.SUMMARIZE_DATASET: _summarize_dataset,
    MltkModelEvent.AFTER_SAVE_TRAIN_ARCHIVE: _after_save_archive,
    MltkModelEvent.TRAIN_SHUTDOWN: _train_shutdown,
    MltkModelEvent.QUANTIZE_SHUTDOWN: _quantize_shutdown,
    MltkModelEvent.GENERATE_EVALUATE_PLOT: _plot,
    MltkModelEvent.EVALUATE_SHUTDOWN: _evaluate_shutdown,
}
