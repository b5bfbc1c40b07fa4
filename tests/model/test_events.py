import logging

import pytest

from mltk.core import MltkModel, MltkModelEvent
from mltk.errors import SpecificationError
from mltk.model.model import HandlerError


@pytest.fixture
def model() -> MltkModel:
    return MltkModel("events_v1.py")


def test_there_are_29_events_and_each_value_is_its_name_in_lower_case():
    assert len(MltkModelEvent) == 29
    assert all(event.value == event.name.lower() for event in MltkModelEvent)


def test_handlers_run_in_order_with_event_and_registration_arguments(model):
    calls = []

    def handler(mltk_model, logger, **kwargs):
        calls.append((mltk_model is model, isinstance(logger, logging.Logger), kwargs))

    model.add_event_handler(MltkModelEvent.TRAIN_STARTUP, handler, which=1)
    model.add_event_handler("train_startup", handler, which=2)
    model.trigger_event(MltkModelEvent.TRAIN_STARTUP, post_process=True)
    assert calls == [(True, True, {"post_process": True, "which": n}) for n in (1, 2)]


def test_failing_handler_does_not_stop_the_others_but_is_reported_at_the_end(model):
    calls = []

    def failing(**kwargs):
        raise RuntimeError("no network")

    model.add_event_handler(MltkModelEvent.AFTER_TRAIN, failing)
    model.add_event_handler(MltkModelEvent.AFTER_TRAIN, lambda **kwargs: calls.append(1))
    model.trigger_event(MltkModelEvent.AFTER_TRAIN)
    assert calls == [1]
    with pytest.raises(HandlerError, match="AFTER_TRAIN failed: RuntimeError: no network") as error:
        model.raise_failures("the results")
    assert error.value.results == "the results"
    model.raise_failures()


def test_handler_may_ask_to_stop_the_operation_at_once(model):
    def failing(**kwargs):
        raise RuntimeError("stop")

    model.add_event_handler(MltkModelEvent.AFTER_TRAIN, failing, _raise_exception=True)
    with pytest.raises(RuntimeError, match="stop"):
        model.trigger_event(MltkModelEvent.AFTER_TRAIN)


def test_unknown_event_and_handler_that_is_no_function_are_refused(model):
    with pytest.raises(
        SpecificationError, match=r"no model event 'AFTER_TRIAN'\. Did you mean 'AFTER_TRAIN'"
    ):
        model.add_event_handler("AFTER_TRIAN", print)
    with pytest.raises(SpecificationError, match="not callable"):
        model.add_event_handler(MltkModelEvent.AFTER_TRAIN, "print")


def test_mixin_sees_the_model_being_made():
    seen = []

    class Watching:
        def trigger_event(self, event, **kwargs):
            seen.append(event)
            super().trigger_event(event, **kwargs)

    class MyModel(Watching, MltkModel):
        pass

    MyModel("watched.py")
    assert seen == [MltkModelEvent.BEFORE_MODEL_LOAD]
