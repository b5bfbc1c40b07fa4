"""`mltk evaluate`."""

from __future__ import annotations

from typing import Any

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import (
    model_argument,
    parse_assignment,
    post_option,
    require_model,
    test_option,
    trust_option,
    verbose_option,
    weights_option,
    with_consent,
)
from mltk.cli._runtime_options import RuntimeCommand, runtime_option


@click.command("evaluate", cls=RuntimeCommand)
@model_argument
@runtime_option
@weights_option
@click.option("--classes", metavar="A,B,…", help="Classes to evaluate, for evaluators that take a choice.")
@click.option("-c", "--count", type=int, default=-1, metavar="N", help="At most N samples per class.")
@click.option(
    "--evaluator", "evaluators", multiple=True, metavar="NAME", help="Run this evaluator; may be repeated."
)
@click.option(
    "--option",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of an evaluator; may be repeated, also with one KEY, which then has a list of values.",
)
@click.option(
    "--data",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Arrays x and y (.npz) in place of the specification's data.",
)
@click.option("-o", "--output", metavar="DIR", help="Folder for the results of a bare .tflite.")
@click.option("--dump/--no-dump", default=False, help="Write samples as files, where the evaluator can.")
@click.option(
    "--update-archive/--no-update-archive", default=True, help="Put the results into the archive (default)."
)
@click.option("--show", is_flag=True, help="Show plots in windows.")
@test_option
@post_option
@trust_option
@verbose_option
def evaluate_command(
    model: str,
    runtime: str | None,
    weights: str | None,
    classes: str | None,
    count: int,
    evaluators: tuple[str, ...],
    assignments: tuple[str, ...],
    data: str | None,
    output: str | None,
    dump: bool,
    update_archive: bool,
    show: bool,
    test: bool,
    post: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Evaluate the trained MODEL: a name, a specification, an archive, or a .tflite file.

    A .tflite file needs --data, unless the evaluator brings data of its own.
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    options = _options(assignments)
    from mltk.operations.evaluation.evaluate import evaluate_model

    try:
        results = with_consent(
            lambda trusted: evaluate_model(
                model,
                weights=weights,
                max_samples_per_class=count,
                classes=classes.split(",") if classes else None,
                dump=dump,
                show=show,
                update_archive=update_archive,
                test=test,
                post_process=post,
                evaluators=evaluators,
                data=data,
                output=output,
                options=options,
                runtime=runtime,
                trust=trusted,
            ),
            trust,
        )
    except KeyboardInterrupt:
        logger.warning("Stopped: the evaluation is not finished. The model and its archive are as they were.")
        raise
    print_text(str(results))
    for other in results.others.values():
        click.echo()
        print_text(str(other))


def _options(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return the values by key; a key that was given several times has a list."""
    values: dict[str, list[Any]] = {}
    for text in assignments:
        key, value = parse_assignment(text)
        values.setdefault(key, []).append(value)
    return {key: given[0] if len(given) == 1 else given for key, given in values.items()}
