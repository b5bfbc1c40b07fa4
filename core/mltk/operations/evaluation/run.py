"""Run evaluators and store their results."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import EvaluationError
from mltk.plugins.types import EvaluationContext
from mltk.results.evaluation import EvaluationResults
from mltk.utils.files import cache_dir
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from mltk.model.model import MltkModel
    from mltk.plugins.types import Evaluator, Predictor


def run_evaluators(
    evaluators: Sequence[Evaluator],
    predictor: Predictor,
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray | None]]],
    mltk_model: MltkModel | None,
    show: bool,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    base: Path | None = None,
) -> EvaluationResults:
    """Run the evaluators one after the other; one that fails after the first does not stop the others."""
    if base is None:
        assert mltk_model is not None
        base = Path(mltk_model.log_dir) / "eval" / predictor.kind
    classes = settings.get("classes") or (
        mltk_model.classes if mltk_model and "dataset.classes" in mltk_model.attributes.stored else ()
    )
    finished: dict[str, EvaluationResults] = {}
    for evaluator in evaluators:
        folder = result_folder(base, evaluator)
        if folder == base:
            # Only this evaluator's files: those of others are in folders of their own.
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_file():
                    path.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        context = EvaluationContext(
            predictor=predictor,
            batches=batches,
            output_dir=folder,
            logger=get_mltk_logger(),
            model=mltk_model,
            classes=tuple(classes),
            show=show,
            options={**settings, **{k: v for k, v in options.items() if k in evaluator.options}},
        )
        try:
            finished[evaluator.name] = _run_one(evaluator, context)
        except Exception as e:
            # What the first one found is kept, and the others are still run.
            if not finished or mltk_model is None:
                raise
            mltk_model.record_failure(f"The evaluator '{evaluator.name}' failed", e)
    names = list(finished)
    primary = finished[names[0]]
    primary.others = {name: finished[name] for name in names[1:]}
    return primary


def _run_one(evaluator: Evaluator, context: EvaluationContext) -> EvaluationResults:
    results = evaluator.evaluate(context)
    if not isinstance(results, EvaluationResults):
        raise EvaluationError(
            f"The evaluator '{evaluator.name}' must return EvaluationResults, not {type(results).__name__}."
        )
    if not (context.output_dir / "eval-results.json").exists():
        results.save(context.output_dir)
    return results


def result_folder(base: Path, evaluator: Evaluator) -> Path:
    """Return the folder for the results of an evaluator."""
    folder = evaluator.name if evaluator.folder is None else evaluator.folder
    return base / folder if folder else base


def folder_of_file(path: Path) -> Path:
    """Return a folder for the results of a bare file that no model, and no other file, has."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return cache_dir() / "evaluations" / f"{path.stem}-{digest}"


def archive_results(mltk_model: MltkModel, kind: str, evaluators: Sequence[Evaluator]) -> None:
    """Put the files of these evaluators, below `eval/<kind>` in the log folder, into the archive."""
    log_dir = Path(mltk_model.log_dir)
    base = log_dir / "eval" / kind
    members: dict[str, bytes | Path] = {}
    stale: list[str] = []
    old = mltk_model.archive.names()
    for evaluator in evaluators:
        folder = result_folder(base, evaluator)
        prefix = folder.relative_to(log_dir).as_posix() + "/"
        files = folder.iterdir() if folder == base else folder.rglob("*")
        members.update({p.relative_to(log_dir).as_posix(): p for p in files if p.is_file()})
        stale += [
            n for n in old if n.startswith(prefix) and (folder != base or "/" not in n.removeprefix(prefix))
        ]
    mltk_model.archive.update(members, remove=stale)
