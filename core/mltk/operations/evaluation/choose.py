"""Choose the evaluators that apply to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import provided_mixins
from mltk.errors import EvaluationError, SpecificationError, did_you_mean
from mltk.model.operation import operation
from mltk.plugins import get_plugin_manager

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mltk.model.model import MltkModel
    from mltk.plugins.types import Evaluator


def applicable_evaluators(mltk_model: MltkModel) -> list[str]:
    """Return the names of the evaluators that would run by themselves."""
    with operation(mltk_model):
        return [
            e.name
            for e in get_plugin_manager().collect_offers("mltk_evaluators", mltk_model=mltk_model).values()
            if e.default
        ]


def choose_evaluators(
    mltk_model: MltkModel | None, names: Sequence[str] | None, options: Iterable[str] = ()
) -> list[Evaluator]:
    """Return the evaluators of these names, or those that run by themselves, first the one whose results count.

    Raises:
        SpecificationError: There is no such evaluator for this model, or none of those chosen knows an option.
        EvaluationError: None applies to the model.
    """
    offers: dict[str, Evaluator] = get_plugin_manager().collect_offers(
        "mltk_evaluators", mltk_model=mltk_model
    )
    chosen = _named(offers, names) if names else _defaults(offers, mltk_model)
    known = [name for evaluator in chosen for name in evaluator.options]
    for name in options:
        if name not in known:
            which = " or ".join(f"'{evaluator.name}'" for evaluator in chosen)
            owners = [f"--evaluator {e.name}" for e in offers.values() if name in e.options]
            raise SpecificationError(
                f"There is no option '{name}' of the evaluator {which}.{did_you_mean(name, known)} "
                + (
                    f"It belongs to {' or '.join(owners)}."
                    if owners
                    else f"Known: {', '.join(known) or 'none'}."
                )
            )
    return chosen


def _named(offers: Mapping[str, Evaluator], names: Iterable[str]) -> list[Evaluator]:
    for name in names:
        if name not in offers:
            raise SpecificationError(
                f"No evaluator named '{name}' applies to this model.{did_you_mean(name, offers)} "
                f"Those that do: {', '.join(offers) or 'none'}."
            )
    return [offers[name] for name in names]


def _defaults(offers: Mapping[str, Evaluator], mltk_model: MltkModel | None) -> list[Evaluator]:
    # The built-in evaluator first: its results are what the operation returns.
    chosen = sorted((e for e in offers.values() if e.default), key=lambda e: e.folder is None)
    if not chosen:
        which = f"'{mltk_model.name}'" if mltk_model else "a bare .tflite"
        raise EvaluationError(
            f"No evaluator applies to {which}: its class must inherit EvaluateClassifierMixin, "
            f"{', '.join([*provided_mixins('Evaluate'), ''])}or EvaluateMixin with eval_custom_function"
            + (f", or choose one with --evaluator: {', '.join(offers)}." if offers else ".")
        )
    return chosen
