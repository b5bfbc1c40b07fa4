"""Finding, registering and calling plugins."""

import dataclasses
import inspect
import json
import types

import click
import pluggy
import pytest
from importlib_metadata import entry_points

from mltk.errors import MltkError, SpecificationError
from mltk.plugins import (
    AugmentationStep,
    Command,
    CommandOption,
    Compiler,
    Evaluator,
    LoadedDataset,
    Parameter,
    PluginManager,
    Profiler,
    ReportSection,
    Runtime,
    Setting,
    Stage,
    Template,
    hookimpl,
    hookspecs,
)
from mltk.plugins.manager import BUILTIN
from mltk.plugins.validation import hook_kind, hook_signatures

SIGNATURES = {
    "mltk_commands": (),
    "mltk_command_options": (),
    "mltk_templates": (),
    "mltk_settings": (),
    "mltk_stages": ("mltk_model",),
    "mltk_load_dataset": ("mltk_model", "subset", "test", "options"),
    "mltk_augmentations": ("mltk_model", "subset", "domain"),
    "mltk_build_model": ("mltk_model",),
    "mltk_custom_objects": (),
    "mltk_convert_model": ("mltk_model", "keras_model", "settings", "representative_dataset"),
    "mltk_model_parameters": ("mltk_model", "tflite_model"),
    "mltk_evaluators": ("mltk_model",),
    "mltk_runtimes": (),
    "mltk_profilers": (),
    "mltk_compilers": (),
    "mltk_report_sections": ("mltk_model",),
    "mltk_event": ("mltk_model", "event", "details"),
}
KINDS = {
    "mltk_commands": "each by itself",
    "mltk_command_options": "each by itself",
    "mltk_load_dataset": "first answer",
    "mltk_build_model": "first answer",
    "mltk_convert_model": "first answer",
    "mltk_report_sections": "each by itself",
    "mltk_event": "each by itself",
}


class Plugin(types.SimpleNamespace):
    """Hashable, as modules are."""

    __hash__ = object.__hash__


def make(**functions):
    """A plugin with these functions as hooks."""
    return Plugin(**{name: f if hasattr(f, "mltk_impl") else hookimpl(f) for name, f in functions.items()})


def evaluator(name):
    return Evaluator(name, "summary", lambda context: None)


@pytest.fixture
def manager():
    return PluginManager()


# The hooks


@pytest.mark.parametrize("hook", SIGNATURES)
def test_the_signature_of_a_hook_is_fixed(hook):
    assert hook_signatures()[hook] == SIGNATURES[hook]


@pytest.mark.parametrize("hook", SIGNATURES)
def test_the_kind_of_a_hook_is_fixed(hook):
    assert hook_kind(hook) == KINDS.get(hook, "offers")


def test_there_are_no_other_hooks():
    assert list(hook_signatures()) == list(SIGNATURES)


@pytest.mark.parametrize("hook", SIGNATURES)
def test_the_example_of_a_hook_is_a_complete_plugin(hook, manager):
    text = inspect.getdoc(getattr(hookspecs, hook))
    example = text.split("```python\n")[1].split("```")[0]
    module = types.ModuleType("example")
    exec(inspect.cleandoc(example), module.__dict__)

    manager.register(module, "example")

    assert [c.name for c in manager.get_hookcallers(module)] == [hook]


ANSWERS = {
    "mltk_commands": [Command("serve", "Serve.", "a:b")],
    "mltk_command_options": [
        CommandOption("train", click.Option(["--emissivity"]), lambda value, model: None)
    ],
    "mltk_templates": [Template("thermal", "Thermal images.", lambda request: None)],
    "mltk_settings": [Setting("thermal.emissivity", "Emissivity.", float)],
    "mltk_stages": [Stage("card", "Write a card.", lambda context: None)],
    "mltk_load_dataset": LoadedDataset(x=1),
    "mltk_augmentations": [AugmentationStep("noise", "after", lambda batch, rng: batch)],
    "mltk_custom_objects": {"Swish": object()},
    "mltk_convert_model": b"TFL3",
    "mltk_model_parameters": {"a.b": Parameter(1)},
    "mltk_evaluators": [evaluator("calibration")],
    "mltk_runtimes": [Runtime("board", "On the board.", lambda model, name: None)],
    "mltk_profilers": [Profiler("board", "Measured.", lambda model: None)],
    "mltk_compilers": [Compiler("npu", "For the NPU.", lambda model: b"TFL3")],
    "mltk_report_sections": [ReportSection("power")],
    "mltk_event": None,
}


@pytest.mark.parametrize("hook", ANSWERS)
def test_a_hook_is_called_with_its_arguments_and_its_answer_comes_back(hook, manager):
    seen = {}
    arguments = {name: f"value of {name}" for name in SIGNATURES[hook]}
    parameters = ", ".join(SIGNATURES[hook])
    namespace = {"seen": seen, "answer": ANSWERS[hook]}
    exec(f"def {hook}({parameters}):\n    seen.update(locals())\n    return answer", namespace)
    manager.register(make(**{hook: namespace[hook]}), "p")

    if hook_kind(hook) == "each by itself":
        answers = manager.call_each(hook, **arguments)
        named = [(offer.name, offer) for offer in ANSWERS[hook] or ()]
        assert answers == ([] if hook == "mltk_event" else [("p", named)])
    elif hook_kind(hook) == "first answer":
        assert manager.call_first(hook, **arguments) is ANSWERS[hook]
    else:
        answer = ANSWERS[hook]
        assert list(manager.collect_offers(hook, **arguments).values()) == list(
            answer.values() if isinstance(answer, dict) else answer
        )
    assert seen == arguments


def test_the_built_in_model_is_built_by_the_specification(mltk_plugin_manager):
    keras = pytest.importorskip("keras")

    class Model:
        attributes = types.SimpleNamespace(stored={"train.build_model_function": None})

        def build_model_function(self, mltk_model):
            assert mltk_model is self
            return keras.Sequential()

    # On the instance, as `my_model.build_model_function = f` puts it.
    model = Model()
    assert isinstance(mltk_plugin_manager.call_first("mltk_build_model", mltk_model=model), keras.Model)


def test_without_a_build_function_a_plugin_that_builds_nothing_changes_no_message(mltk_plugin_manager):
    class Plugin:
        @hookimpl
        def mltk_build_model(self, mltk_model):
            return None

    class Model:
        name = "mine"
        attributes = types.SimpleNamespace(stored={})

    mltk_plugin_manager.register(Plugin(), "nothing")
    with pytest.raises(SpecificationError, match="'mine' has no build_model_function"):
        mltk_plugin_manager.call_first("mltk_build_model", mltk_model=Model())


# Registration


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "@hookimpl\ndef mltk_evaluator(): ...",
            "there is no hook 'mltk_evaluator'. Did you mean 'mltk_evaluators' or 'mltk_event' or "
            "'mltk_templates'?",
        ),
        (
            "@hookimpl(specname='mltk_evens')\ndef f(): ...",
            "there is no hook 'mltk_evens'. Did you mean 'mltk_event'",
        ),
        ("def mltk_evaluators(mltk_model): ...", r"mltk_evaluators\(\) is not decorated with @hookimpl"),
        (
            "@hookimpl\ndef mltk_evaluators(model): ...",
            r"mltk_evaluators\(\) takes 'model', which the hook does not",
        ),
        ("@hookimpl\ndef mltk_event(evnt=None): ...", r"its arguments are mltk_model, event, details"),
        ("@hookimpl\ndef mltk_profilers(x): ...", r"it has no arguments"),
        (
            "@hookimpl\ndef mltk_event(**kwargs): ...",
            r"has the parameter '\*\*kwargs', which mltk cannot pass",
        ),
        ("@hookimpl(wrapper=True)\ndef mltk_event():\n    yield", r"mltk_event\(\) is a wrapper"),
        ("@hookimpl(hookwrapper=True)\ndef mltk_build_model():\n    yield", "with wrapper=True"),
        ("@hookimpl(wrapper=True)\ndef mltk_build_model(): ...", "not a generator function"),
        (
            "@hookimpl\ndef mltk_event(): ...\n@hookimpl(specname='mltk_event')\ndef f(): ...",
            r"it implements mltk_event\(\) twice",
        ),
    ],
)
def test_a_plugin_with_a_wrong_hook_is_refused_whole(source, message, manager):
    module = types.ModuleType("wrong")
    module.hookimpl = hookimpl
    exec("@hookimpl\ndef mltk_commands(): ...\n" + source, module.__dict__)

    with pytest.raises(pluggy.PluginValidationError, match=message):
        manager.register(module, "wrong")

    assert not manager.is_registered(module)
    assert manager.records() == []
    assert manager.hook.mltk_commands.get_hookimpls() == []


def test_hooks_imported_from_the_specification_and_optional_ones_are_no_error(manager):
    module = types.ModuleType("fine")
    exec("from mltk.plugins.hookspecs import mltk_event", module.__dict__)
    module.mltk_new = hookimpl(optionalhook=True)(lambda: None)
    assert manager.register(module, "fine") == "fine"


# Each by itself


def test_a_plugin_that_raises_is_one_warning_and_the_others_are_called(manager, caplog):
    called = []
    manager.register(make(mltk_event=lambda event: called.append(("first", event))), "a")
    manager.register(make(mltk_event=lambda: 1 / 0), "broken")
    manager.register(make(mltk_event=lambda: exit(3)), "quits")
    manager.register(make(mltk_event=lambda event: called.append(("last", event))), "z")

    for event in ("one", "two"):
        manager.call_each("mltk_event", mltk_model=None, event=event, details={})

    assert called == [("last", "one"), ("first", "one"), ("last", "two"), ("first", "two")]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert sorted(warnings) == sorted(
        [
            "The plugin 'broken' failed in the hook mltk_event: ZeroDivisionError: division by zero.",
            "The plugin 'quits' failed in the hook mltk_event: SystemExit: 3.",
        ]
    )


def test_a_generator_that_raises_half_way_is_contained(manager, caplog):
    def mltk_commands():
        yield Command("a", "", "a:b")
        raise RuntimeError("half way")

    manager.register(make(mltk_commands=mltk_commands), "p")

    assert manager.call_each("mltk_commands") == []
    assert "RuntimeError: half way" in caplog.text


@pytest.mark.parametrize(
    ("hook", "answer", "message"),
    [
        ("mltk_commands", 3, "it returned an int, not an iterable of Command."),
        ("mltk_commands", ["serve"], "it returned a str among its answers, not only Command."),
        (
            "mltk_commands",
            [Command("a b", "", "")],
            "it returned a Command named 'a b'; a name is made of letters",
        ),
        ("mltk_event", 3, "it returned an int, and must return nothing."),
    ],
)
def test_a_wrong_answer_is_a_warning_where_plugins_are_called_by_themselves(
    hook, answer, message, manager, caplog
):
    manager.register(make(**{hook: lambda: answer}), "p")
    assert manager.call_each(hook, **dict.fromkeys(SIGNATURES[hook])) == []
    assert f"The plugin 'p' failed in the hook {hook}: {message}" in caplog.text


def test_a_strict_manager_raises_instead():
    manager = PluginManager(strict=True)
    manager.register(make(mltk_event=lambda: 1 / 0), "p")
    with pytest.raises(
        MltkError, match="The plugin 'p' failed in the hook mltk_event: ZeroDivisionError"
    ) as e:
        manager.call_each("mltk_event", mltk_model=None, event=None, details={})
    assert isinstance(e.value.__cause__, ZeroDivisionError)


# Offers


def test_offers_are_gathered_from_all_plugins_by_name(manager):
    manager.register(make(mltk_evaluators=lambda: (evaluator(n) for n in "ab")), "p")
    manager.register(make(mltk_evaluators=lambda: None), "q")
    manager.register(make(mltk_evaluators=lambda: [evaluator("c")]), "r")
    assert list(manager.collect_offers("mltk_evaluators", mltk_model=None)) == ["c", "a", "b"]


def test_two_offers_with_one_name_are_an_error_that_names_both(manager):
    manager.register(make(mltk_evaluators=lambda: [evaluator("a")]), "p")
    manager.register(make(mltk_evaluators=lambda: [evaluator("a")]), "q")
    with pytest.raises(MltkError, match="evaluator 'a' is offered by both the plugin 'q' and the plugin 'p'"):
        manager.collect_offers("mltk_evaluators", mltk_model=None)


def test_a_built_in_offer_cannot_be_replaced_by_a_plugin(manager):
    manager.register(make(mltk_profilers=lambda: [Profiler("static", "", id)]), "mltk.profiler")
    manager._found[-1].builtin = True
    manager.register(make(mltk_profilers=lambda: [Profiler("static", "", id)]), "p")
    with pytest.raises(
        MltkError, match="profiler 'static' is offered by both the plugin 'p' and mltk itself"
    ):
        manager.collect_offers("mltk_profilers")


def test_one_plugin_cannot_offer_a_name_twice(manager):
    manager.register(make(mltk_evaluators=lambda: [evaluator("a"), evaluator("a")]), "p")
    with pytest.raises(MltkError, match="The evaluator 'a' is offered twice by the plugin 'p'"):
        manager.collect_offers("mltk_evaluators", mltk_model=None)


def test_the_same_object_may_be_offered_twice(manager):
    for name in "pq":
        manager.register(make(mltk_custom_objects=lambda: {"Mapping": dict}), name)
    assert manager.collect_offers("mltk_custom_objects") == {"Mapping": dict}


@pytest.mark.parametrize(
    ("hook", "answer", "message"),
    [
        ("mltk_evaluators", "abc", "returned a str among its answers, not only Evaluator"),
        ("mltk_evaluators", [evaluator("../up")], "returned an Evaluator named '../up'"),
        ("mltk_evaluators", [evaluator(None)], "returned an Evaluator named None"),
        ("mltk_custom_objects", [dict], "returned a list, not a mapping of names"),
        ("mltk_model_parameters", {"a": 3}, "returned an int under 'a', not a Parameter under a name"),
    ],
)
def test_a_wrong_offer_names_the_plugin(hook, answer, message, manager):
    manager.register(make(**{hook: lambda: answer}), "p")
    with pytest.raises(MltkError, match=f"^The plugin 'p' failed in the hook {hook}: it {message}"):
        manager.collect_offers(hook, **dict.fromkeys(SIGNATURES[hook]))


def test_an_exception_of_a_provider_comes_through_with_the_plugin_named(manager):
    manager.register(make(mltk_evaluators=lambda: 1 / 0, mltk_build_model=lambda: 1 / 0), "p")
    with pytest.raises(ZeroDivisionError) as e:
        manager.call_first("mltk_build_model", mltk_model=None)
    remedy = "Block it with MLTK_BLOCK_PLUGINS=p."
    assert e.value.__notes__ == [f"Raised by the plugin 'p' in the hook mltk_build_model. {remedy}"]
    with pytest.raises(MltkError) as e:
        manager.collect_offers("mltk_evaluators", mltk_model=None)
    assert str(e.value) == (
        f"The plugin 'p' failed in the hook mltk_evaluators: ZeroDivisionError: division by zero. {remedy}"
    )
    assert isinstance(e.value.__cause__, ZeroDivisionError)


# First answer


def test_the_first_answer_wins_and_the_rest_are_not_asked(manager):
    asked = []
    for name, answer in (("a", b"a"), ("b", b"b"), ("c", None)):
        manager.register(make(mltk_convert_model=_converter(asked, name, answer)), name)
    result = manager.call_first("mltk_convert_model", **dict.fromkeys(SIGNATURES["mltk_convert_model"]))
    assert (result, asked) == (b"b", ["c", "b"])


def _converter(asked, name, answer):
    def convert():
        asked.append(name)
        return answer

    return convert


def test_nobody_answering_is_none(manager):
    assert manager.call_first("mltk_convert_model", **dict.fromkeys(SIGNATURES["mltk_convert_model"])) is None


def test_a_wrapper_changes_the_answer(manager):
    def wrap():
        answer = yield
        return answer + b"!"

    manager.register(make(mltk_convert_model=hookimpl(wrapper=True)(wrap)), "wrapper")
    manager.register(make(mltk_convert_model=lambda: b"a"), "p")
    arguments = dict.fromkeys(SIGNATURES["mltk_convert_model"])
    assert manager.call_first("mltk_convert_model", **arguments) == b"a!"
    assert manager.hook.mltk_convert_model(**arguments) == b"a!"


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("mltk_load_dataset", "returned a str, not a LoadedDataset"),
        ("mltk_build_model", "returned a str, not a keras.Model"),
        ("mltk_convert_model", "returned a str, not bytes"),
    ],
)
def test_a_wrong_first_answer_names_the_plugin(hook, message, manager):
    manager.register(make(**{hook: lambda: "wrong"}), "p")
    with pytest.raises(MltkError, match=f"^The plugin 'p' failed in the hook {hook}: it {message}"):
        manager.call_first(hook, **dict.fromkeys(SIGNATURES[hook]))


# Order, and the specification


def test_plugins_are_called_in_the_order_of_their_names_and_the_built_in_ones_last(site):
    for name in ("beta", "alpha", "zeta"):
        site.add_plugin(name, _ordered(name), distribution=f"dist-{name}")
    site.add_plugin("omega", _ordered("omega", "tryfirst=True"))
    site.add_plugin("aaron", _ordered("aaron", "trylast=True"))
    order = site.python(
        """
        from mltk.plugins import get_plugin_manager
        manager = get_plugin_manager()
        from mltk.plugins import hookimpl
        import types
        spec = types.ModuleType("spec")
        exec('''
        @hookimpl
        def mltk_build_model(): print("spec")
        '''.replace("        ", ""), {"hookimpl": hookimpl}, vars(spec))
        class Model:
            attributes = types.SimpleNamespace(stored={"train.build_model_function": None})
            def build_model_function(self, model): print("built-in")
        with manager.specification_registered(spec, "spec"):
            manager.call_first("mltk_build_model", mltk_model=Model())
        manager.hook.mltk_build_model(mltk_model=Model())
        """
    )
    order = order.split()
    assert order == ["spec", *(plugins := ["omega", "alpha", "beta", "zeta", "aaron", "built-in"]), *plugins]


def _ordered(name, options=""):
    return f"""
    from mltk.plugins import hookimpl

    @hookimpl({options})
    def mltk_build_model():
        print("{name}")
    """


def test_every_built_in_plugin_comes_last_and_is_light(mltk_plugin_manager):
    from mltk.testing import assert_imports_light

    for hook in hook_signatures():
        for implementation in getattr(mltk_plugin_manager.hook, hook).get_hookimpls():
            assert implementation.trylast, implementation
    for name in BUILTIN:
        assert_imports_light(f"mltk.builtin.{name}")


def specification(name, hook, answer):
    module = types.ModuleType(name)
    module.__file__ = f"/models/{name}.py"
    setattr(module, hook, hookimpl(lambda: answer))
    return module


def converted(manager):
    return manager.call_first("mltk_convert_model", **dict.fromkeys(SIGNATURES["mltk_convert_model"]))


def test_a_specification_is_asked_before_everyone_and_only_within_its_run(manager):
    first = make(mltk_convert_model=hookimpl(tryfirst=True)(lambda: b"plugin"))
    manager.register(first, "p")
    spec = specification("spec", "mltk_convert_model", b"spec")

    with manager.specification_registered(spec, "spec"):
        assert converted(manager) == b"spec"
        with manager.specification_registered(spec, "spec"):
            assert converted(manager) == b"spec"
        assert converted(manager) == b"spec"
        assert [r.name for r in manager.records()] == ["p"]

    assert converted(manager) == b"plugin"


def test_within_an_operation_on_another_model_a_specification_rests(manager):
    outer = specification("outer", "mltk_convert_model", b"outer")
    inner = specification("inner", "mltk_commands", ())

    with manager.specification_registered(outer, "outer"):
        with manager.specification_registered(inner, "inner"):
            assert converted(manager) is None
            with manager.specification_registered(outer, "outer"):
                assert converted(manager) == b"outer"
            assert converted(manager) is None
        assert converted(manager) == b"outer"
    assert converted(manager) is None


def test_a_specification_leaves_when_the_operation_raises(manager):
    spec = specification("spec", "mltk_convert_model", b"spec")
    with pytest.raises(RuntimeError), manager.specification_registered(spec, "spec"):
        raise RuntimeError
    assert not manager.is_registered(spec)
    with manager.specification_registered(spec, "spec"):
        assert converted(manager) == b"spec"


def test_what_a_specification_offers_replaces_the_others(manager):
    own = evaluator("a")
    manager.register(make(mltk_evaluators=lambda: [evaluator("a"), evaluator("b")]), "p")
    with manager.specification_registered(specification("spec", "mltk_evaluators", [own]), "spec"):
        offers = manager.collect_offers("mltk_evaluators", mltk_model=None)
    assert list(offers) == ["a", "b"]
    assert offers["a"] is own


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (
            "mltk_evaluator",
            "^/models/spec.py: there is no hook 'mltk_evaluator'. Did you mean 'mltk_evaluators'",
        ),
        ("mltk_events", "^/models/spec.py: there is no hook 'mltk_events'. Did you mean 'mltk_event'"),
    ],
)
def test_a_wrong_hook_in_a_specification_names_its_file(hook, message, manager):
    good = specification("good", "mltk_convert_model", b"good")
    with manager.specification_registered(good, "good"):
        wrong = specification("spec", hook, None)
        with (
            pytest.raises(SpecificationError, match=message),
            manager.specification_registered(wrong, "spec"),
        ):
            pass
        assert converted(manager) == b"good"


def test_a_failure_in_a_specification_says_so(manager):
    spec = specification("spec", "mltk_convert_model", "text")
    with (
        manager.specification_registered(spec, "my_model"),
        pytest.raises(MltkError, match=r"^The specification 'my_model' failed in the hook mltk_convert"),
    ):
        converted(manager)


# Discovery


GOOD = """
from mltk.plugins import Command, hookimpl

mltk_api_version = 1

@hookimpl
def mltk_commands():
    return [Command("{name}", "Says hello.", "nothing:here")]
"""


@pytest.fixture
def zoo(site):
    """Two good plugins, seven broken ones, and a blocked one."""
    site.add_plugin("good", GOOD.format(name="hello"))
    site.add_plugin("zgood", GOOD.format(name="zhello"), version="2.1")
    site.add_plugin("import_error", "import not_there_at_all")
    site.add_plugin("quits", "import sys\nprint('noise')\nsys.exit(7)")
    site.add_plugin("bad_signature", GOOD.format(name="x") + "@hookimpl\ndef mltk_event(evnt): ...")
    site.add_plugin("unknown_hook", GOOD.format(name="y") + "@hookimpl\ndef mltk_evaluator(): ...")
    site.add_plugin("old_api", GOOD.format(name="w") + "mltk_api_version = 0")
    site.add_plugin("good", "raise RuntimeError('never loaded')", distribution="second-good")
    site.add_plugin("raises", GOOD.format(name="v").replace("return", "raise RuntimeError('in the hook')  #"))
    site.add_plugin("blocked", "raise RuntimeError('never loaded')")
    return site


INSTALLED = [e.name for e in entry_points(group="mltk.plugins")]
BLOCK = {"MLTK_BLOCK_PLUGINS": ",".join(["blocked", *INSTALLED])}


def test_every_plugin_ends_as_a_record_and_the_good_ones_go_on_working(zoo):
    done = zoo.mltk("plugins", "list", "--json", env=BLOCK)
    assert done.returncode == 0
    records = [r for r in json.loads(done.stdout) if r["name"] not in INSTALLED]
    assert {(r["name"], r["distribution"]): (r["status"], r["error"]) for r in records} == {
        ("bad_signature", "dist-bad_signature"): (
            "broken",
            "mltk_event() takes 'evnt', which the hook does not have; its arguments are "
            "mltk_model, event, details",
        ),
        ("blocked", "dist-blocked"): ("blocked", None),
        ("good", "dist-good"): ("active", None),
        ("good", "second-good"): ("broken", "the name 'good' is taken by dist-good"),
        ("import_error", "dist-import_error"): (
            "broken",
            "ModuleNotFoundError: No module named 'not_there_at_all'",
        ),
        ("old_api", "dist-old_api"): (
            "incompatible",
            "it was written for version 0 of the plugin interface, this is 1; update dist-old_api",
        ),
        ("quits", "dist-quits"): ("broken", "SystemExit: 7"),
        ("raises", "dist-raises"): ("active", None),
        ("unknown_hook", "dist-unknown_hook"): (
            "broken",
            "there is no hook 'mltk_evaluator'. Did you mean 'mltk_evaluators' or 'mltk_event' or "
            "'mltk_templates'?",
        ),
        ("zgood", "dist-zgood"): ("active", None),
    }
    assert {r["version"] for r in records} == {"1.0", "2.1"}
    problems = [line for line in done.stderr.splitlines() if line.startswith("mltk: warning: ")]
    assert problems == []
    assert done.stderr.splitlines() == ["noise"]
    shown = zoo.mltk("--help", env=BLOCK).stderr.splitlines()
    assert len([line for line in shown if line.startswith("mltk: warning: The plugin ")]) == 6


def test_help_lists_the_commands_of_the_good_plugins(zoo):
    done = zoo.mltk("--help", env=BLOCK)
    assert done.returncode == 0
    listed = done.stdout.split("Commands of plugins:")[1].split()
    assert listed == ["hello", "Says", "hello.", "zhello", "Says", "hello."]
    warning = (
        "The plugin 'raises' (dist-raises 1.0) failed in the hook mltk_commands: RuntimeError: in the hook."
    )
    assert done.stderr.count(warning) == 1


def test_check_finds_every_problem(zoo):
    done = zoo.mltk(
        "plugins",
        "check",
        env={"MLTK_BLOCK_PLUGINS": BLOCK["MLTK_BLOCK_PLUGINS"].replace("blocked", "blocked,godo")},
    )
    assert done.returncode == 1
    text = done.stdout
    for expected in (
        "'import_error' (dist-import_error 1.0): ModuleNotFoundError",
        "'quits' (dist-quits 1.0): SystemExit: 7",
        "'bad_signature' (dist-bad_signature 1.0): mltk_event() takes 'evnt'",
        "'unknown_hook' (dist-unknown_hook 1.0): there is no hook",
        "'old_api' (dist-old_api 1.0): it was written for version 0",
        "'good' (second-good 1.0): the name 'good' is taken by dist-good",
        "The plugin 'raises' (dist-raises 1.0) failed in the hook mltk_commands",
        "MLTK_BLOCK_PLUGINS names 'godo', which no installed plugin or distribution is called. Did you mean 'good'",
    ):
        assert expected in text


def test_strict_raises_but_not_in_the_commands_that_say_what_is_wrong(zoo):
    strict = {**BLOCK, "MLTK_STRICT_PLUGINS": "1"}
    done = zoo.mltk("--help", env=strict)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "mltk: error: The plugin 'bad_signature' (dist-bad_signature 1.0)"
    )
    assert zoo.mltk("plugins", "list", env=strict).returncode == 0


def test_blocking_comes_before_the_import(site):
    site.add_plugin("bomb", "open('exploded', 'w')")
    for env, arguments in (
        ({"MLTK_BLOCK_PLUGINS": "bomb"}, ["--help"]),
        ({"MLTK_BLOCK_PLUGINS": "dist-bomb"}, ["--help"]),
        ({"MLTK_BLOCK_PLUGINS": "Dist_Bomb"}, ["--help"]),
        ({"MLTK_BLOCK_PLUGINS": " BOMB "}, ["--help"]),
        ({"MLTK_BLOCK_PLUGINS": "*"}, ["--help"]),
        ({"MLTK_BLOCK_PLUGINS": ""}, ["--no-plugins", "--help"]),
        ({"MLTK_BLOCK_PLUGINS": ""}, ["--help", "--no-plugins"]),
        ({"MLTK_BLOCK_PLUGINS": ""}, ["--no-plugins", "plugins", "list"]),
    ):
        done = site.mltk(*arguments, env=env)
        assert done.returncode == 0
        assert not (site.folder / "exploded").exists()
    site.mltk("--help", env={"MLTK_BLOCK_PLUGINS": ""})
    assert (site.folder / "exploded").exists()


def test_a_plugin_without_a_description_is_shown(site):
    site.add_plugin("plain", "")
    done = site.mltk("plugins", "show", "plain")
    assert done.returncode == 0
    assert "fake_dist_plain" in done.stdout


def test_a_name_that_blocks_nothing_is_reported(site):
    site.add_plugin("bomb", "")
    for arguments in (["--help"], ["plugins", "list"]):
        env = {"MLTK_BLOCK_PLUGINS": "bmob,dist-bomb"}
        lines = site.mltk(*arguments, env=env).stderr.splitlines()
        assert [line for line in lines if "MLTK_BLOCK_PLUGINS" in line] == [
            "mltk: warning: MLTK_BLOCK_PLUGINS names 'bmob', which no installed plugin or distribution is called. "
            "Did you mean 'bomb'?"
        ]
    assert "MLTK_BLOCK_PLUGINS" not in site.mltk("--help", env={"MLTK_BLOCK_PLUGINS": "*"}).stderr


def test_one_module_under_two_names_is_registered_once(site):
    site.write("twin.py", GOOD.format(name="twin"))
    site.add("dist-twin", plugins={"a": "twin", "b": "twin"})
    done = site.mltk("plugins", "list", "--json")
    records = {r["name"]: (r["status"], r["error"]) for r in json.loads(done.stdout) if r["name"] in "ab"}
    assert records == {"a": ("active", None), "b": ("broken", "its module is already registered as 'a'")}


def test_a_plugin_for_a_newer_interface_says_to_update_core(site):
    site.add_plugin("new", "mltk_api_version = 99")
    done = site.mltk("plugins", "show", "new")
    assert "it needs version 99 of the plugin interface, this is 1; update mltk-core" in done.stdout


def test_a_plugin_that_does_not_say_its_version_is_taken_as_of_this_one(site):
    site.add_plugin("plain", "")
    done = site.mltk("plugins", "list", "--json")
    assert [r["status"] for r in json.loads(done.stdout) if r["name"] == "plain"] == ["active"]


def test_records_are_frozen():
    from mltk.plugins import PluginRecord

    with pytest.raises(dataclasses.FrozenInstanceError):
        PluginRecord("a", "active").name = "b"
