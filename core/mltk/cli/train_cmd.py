"""`mltk train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
from mltk.model.model import HandlerError
from mltk.plugins import ReportContext, report_lines
from mltk.utils.stopping import stop_signals

if TYPE_CHECKING:
    from mltk.model.model import MltkModel


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
    help="Evaluate the Keras model and the .tflite afterwards (default).",
)
@click.option(
    "--leave-one-group-out",
    is_flag=True,
    help="Train once without each group of my_model.group_by, evaluate on it, and print the mean; keep no archive.",
)
@click.option(
    "--rehearsal/--no-rehearsal",
    default=True,
    help="First save, load, convert and evaluate the untrained network with one batch (default).",
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
    leave_one_group_out: bool,
    rehearsal: bool,
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
    from mltk.model.mixins.train import TrainMixin
    from mltk.operations.pipeline import train_model
    from mltk.operations.training.session import last_state
    from mltk.results.training import TrainingResults
    from mltk.sources.loading import load_mltk_model

    if leave_one_group_out:
        if resume or resume_epoch or weights:
            raise click.UsageError(
                "--leave-one-group-out starts anew: it goes without --resume and --weights."
            )
        with stop_signals():
            _leave_one_group_out(lambda: load_mltk_model(model, test=test, trust=trust), epochs, seed)
        return
    mltk_model = with_consent(lambda trusted: load_mltk_model(model, test=test, trust=trusted), trust)
    failures = ""
    with stop_signals():
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
                evaluate=evaluate,
                rehearsal=rehearsal,
                seed=seed,
                verbose=True,
            )
        except HandlerError as e:
            if not isinstance(e.results, TrainingResults):
                raise
            results = e.results
            failures = str(e)
        except KeyboardInterrupt:
            if Path(mltk_model.keras_log_dir_path).is_file():
                logger.warning(
                    f"Stopped after the training. The trained model is kept; go on with: mltk quantize {model}, "
                    f"mltk evaluate {model}"
                )
            elif isinstance(mltk_model, TrainMixin) and last_state(mltk_model):
                logger.warning(f"Stopped. Go on after the last whole epoch with: mltk train {model} --resume")
            raise
    click.echo()
    print_rows(report_lines(ReportContext(mltk_model, results, evaluations=results.evaluations)))
    if failures:
        raise MltkError(f"The model was trained and kept, but not all went well. {failures}")


def _leave_one_group_out(load: Callable[[], MltkModel], epochs: int | None, seed: int | None) -> None:
    """Train without each group, and print the evaluations on it and their mean."""
    from mltk.operations.leave_out import train_without_each_group

    accuracies: dict[str, list[float]] = {}
    rows: list[tuple[str, str]] = []
    for group, evaluations in train_without_each_group(load, epochs, seed, verbose=True):
        for kind, evaluation in evaluations.items():
            rows.append((f"{group}, {kind}", evaluation.generate_headline()))
            accuracies.setdefault(kind, []).append(evaluation.overall_accuracy)
    for kind, values in accuracies.items():
        spread = f"from {min(values):.2%} to {max(values):.2%}"
        rows.append(
            (f"Mean, {kind}", f"{sum(values) / len(values):.2%} accuracy of {len(values)} groups, {spread}")
        )
    click.echo()
    print_rows(rows)
