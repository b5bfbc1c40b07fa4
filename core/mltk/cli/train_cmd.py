"""`mltk train`."""

from __future__ import annotations

from typing import Any

import click

from mltk.cli import get_logger
from mltk.cli._model_options import (
    model_argument,
    post_option,
    print_rows,
    require_model,
    test_option,
    trust_option,
    verbose_option,
    weights_option,
    with_consent,
)
from mltk.errors import MltkError


@click.command("train")
@model_argument
@click.option(
    "-e",
    "--epochs",
    type=int,
    help="Number of epochs, in place of the specification's; -1: until it stops improving.",
)
@weights_option
@click.option("--resume/--no-resume", default=False, help="Go on after the last epoch of an interrupted run.")
@click.option(
    "--resume-epoch", type=click.IntRange(min=0), default=0, metavar="N", help="Go on after epoch N."
)
@click.option("--clean/--no-clean", default=False, help="Empty the log folder first.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed, in place of the specification's.")
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    help="Evaluate the float and the int8 model afterwards (default).",
)
@click.option("--show/--no-show", default=False, help="Show plots in windows.")
@test_option
@post_option
@trust_option
@verbose_option
def train_command(
    model: str,
    epochs: int | None,
    weights: str | None,
    resume: bool,
    resume_epoch: int,
    clean: bool,
    seed: int | None,
    evaluate: bool,
    show: bool,
    test: bool,
    post: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Train MODEL, quantize it, evaluate both, and pack its archive.

    MODEL is a name on the model search path, or the path of a specification (.py).
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    from mltk.model.model import HandlerError
    from mltk.model.operation import sole_writer
    from mltk.operations.evaluation.evaluate import applicable_evaluators
    from mltk.operations.training.train import TrainingResults, last_state, train_model
    from mltk.sources.loading import load_mltk_model
    from mltk.utils.stopping import stop_signals

    mltk_model = with_consent(lambda trusted: load_mltk_model(model, test=test, trust=trusted), trust)
    test = mltk_model.test_mode_enabled
    failures = []
    # The evaluation, too: nobody else's training may begin in between.
    with stop_signals(), sole_writer(mltk_model, "trains"):
        try:
            results = train_model(
                mltk_model,
                weights=weights,
                epochs=epochs,
                resume_epoch=-1 if resume else resume_epoch,
                clean=clean,
                show=show,
                test=test,
                post_process=post,
                seed=seed,
                verbose=True,
            )
        except HandlerError as e:
            if not isinstance(e.results, TrainingResults):
                raise
            results = e.results
            failures.append(str(e))
        except KeyboardInterrupt:
            if last_state(mltk_model):
                logger.warning(f"Stopped. Go on after the last whole epoch with: mltk train {model} --resume")
            raise
        rows = [("Model", mltk_model.name), ("Training", str(results))]
        if evaluate and applicable_evaluators(mltk_model):
            for tflite in (False, True) if mltk_model.tflite_converter else (False,):
                label = "int8" if tflite else "Float"
                try:
                    rows.append((label, _evaluate(mltk_model, tflite, show, post)))
                except Exception as e:
                    # The training itself is done and kept; say so, and fail at the end.
                    logger.debug("Traceback:", exc_info=e)
                    what = str(e) if isinstance(e, MltkError) else f"{type(e).__name__}: {e}"
                    failures.append(f"{label} evaluation: {what}")
                    if isinstance(e, HandlerError) and isinstance(e.results, dict):
                        rows.append((label, _in_short(e.results)))
        rows += _files(mltk_model)
    click.echo()
    print_rows(rows)
    if failures:
        raise MltkError(f"The model was trained and kept, but not all went well. {' '.join(failures)}")


def _evaluate(mltk_model: object, tflite: bool, show: bool, post: bool) -> str:
    from mltk.operations.evaluation.evaluate import evaluate_model

    # Trusted: this process wrote the Keras file a moment ago.
    return _in_short(
        evaluate_model(mltk_model, tflite=tflite, show=show, post_process=post, trust=True)  # type: ignore[arg-type]
    )


def _in_short(results: dict[str, Any]) -> str:
    accuracy = results.get("overall_accuracy")
    if accuracy is None:
        return ", ".join(f"{k} {v:.4g}" for k, v in results.items() if isinstance(v, (int, float))) or "done"
    return (
        f"{accuracy:.2%} accuracy on {results.n_samples:,} samples"
        if hasattr(results, "n_samples")
        else f"{accuracy:.2%}"
    )


def _files(mltk_model: object) -> list[tuple[str, str]]:
    from pathlib import Path

    rows = []
    tflite = Path(mltk_model.tflite_log_dir_path)  # type: ignore[attr-defined]
    if mltk_model.tflite_converter and tflite.is_file():  # type: ignore[attr-defined]
        rows.append(("TFLite", f"{tflite.stat().st_size / 1000:,.1f} kB  {tflite}"))
    archive = Path(mltk_model.archive_path)  # type: ignore[attr-defined]
    if archive.is_file():
        rows.append(("Archive", f"{archive.stat().st_size / 1000:,.1f} kB  {archive}"))
    rows.append(("Logs", mltk_model.log_dir))  # type: ignore[attr-defined]
    return rows
