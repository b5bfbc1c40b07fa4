"""Settings, command options, stages and report sections of plugins."""

import types

import click
import pytest

from mltk.core import MltkModel
from mltk.errors import MltkError, SpecificationError
from mltk.plugins import (
    CommandOption,
    ReportContext,
    ReportSection,
    Setting,
    Stage,
    hookimpl,
    inherits,
    order_stages,
    report_figures,
    report_lines,
)

EMISSIVITY = Setting("thermal.emissivity", "Emissivity of the surface, 0 to 1.", float, default=0.95)


def positive(value):
    if value <= 0:
        raise ValueError("the span must be positive.")
    return value * 2


@pytest.fixture
def offer(mltk_plugin_manager):
    """Register a plugin whose hook returns a value."""

    def register(hook, answer, name="thermal"):
        plugin = types.SimpleNamespace(**{hook: hookimpl(lambda: answer)})
        mltk_plugin_manager.register(type("Plugin", (), {hook: staticmethod(getattr(plugin, hook))})(), name)

    return register


# Settings


@pytest.fixture
def settings(offer, tmp_path):
    offer(
        "mltk_settings",
        [
            EMISSIVITY,
            Setting("thermal.unit", "Unit.", str, default="C", choices=("C", "K")),
            Setting("thermal.span", "Span in kelvin.", int, convert=positive),
            Setting("thermal.size", "Size.", (int, str)),
        ],
    )
    return MltkModel(tmp_path / "my_model.py").settings


def test_a_setting_has_its_default_until_it_is_set_and_after_it_is_deleted(settings):
    assert settings["thermal.emissivity"] == 0.95
    settings["thermal.emissivity"] = 0.5
    assert settings["thermal.emissivity"] == 0.5
    del settings["thermal.emissivity"]
    assert settings["thermal.emissivity"] == 0.95
    assert list(settings) == ["thermal.emissivity", "thermal.unit", "thermal.span", "thermal.size"]
    assert len(settings) == 4 and "thermal.unit" in settings and "unit" not in settings


def test_an_integer_becomes_a_float_and_a_value_is_converted(settings):
    settings["thermal.emissivity"] = 1
    settings["thermal.span"] = 4
    settings["thermal.size"] = "big"
    assert isinstance(settings["thermal.emissivity"], float)
    assert settings["thermal.span"] == 8


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "emissivity",
            "high",
            r"^my_model.settings\[\"thermal.emissivity\"\] must be float, not str: 'high'.$",
        ),
        ("emissivity", True, "must be float, not bool: True"),
        ("span", 1.5, "must be int, not float"),
        ("size", None, "must be int or str, not NoneType"),
        ("unit", "c", r"must be one of 'C', 'K'; got 'c'."),
        ("span", -1, r"\"thermal.span\"\] = -1: the span must be positive.$"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_assigned(settings, name, value, message):
    with pytest.raises(SpecificationError, match=message):
        settings[f"thermal.{name}"] = value
    assert settings["thermal.emissivity"] == 0.95


def test_an_unknown_setting_has_near_matches(settings):
    with pytest.raises(
        SpecificationError, match=r"no setting 'thermal.emisivity'. Did you mean 'thermal.emissivity'"
    ):
        settings["thermal.emisivity"] = 1.0


def test_an_unknown_setting_of_a_known_plugin_says_what_to_install(settings, monkeypatch):
    monkeypatch.setattr("mltk._namespace._installed_version", lambda distribution: None)
    with pytest.raises(SpecificationError, match="pip install mltk-plugin-audio"):
        settings["audio.gain"] = 1.0


def test_the_settings_of_a_plugin_are_shown(settings, mltk_cli):
    shown = mltk_cli.invoke(["plugins", "show", "thermal"]).stdout
    assert "thermal.emissivity (float; default 0.95): Emissivity of the surface, 0 to 1." in shown
    assert "thermal.unit (str, one of 'C', 'K'; default 'C'): Unit." in shown


# Command options


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "my_model.py"
    path.write_text("from mltk.core import MltkModel\nmy_model = MltkModel()\nmy_model.version = 3\n")
    return path


def test_an_option_is_in_the_help_of_its_command_and_changes_the_model(offer, mltk_cli, spec):
    seen = []
    option = click.Option(["--emissivity"], type=float, help="Emissivity of the surface.")
    offer(
        "mltk_command_options",
        [CommandOption("update-params", option, lambda value, model: seen.append((value, model.version)))],
    )
    assert "--emissivity FLOAT" in mltk_cli.invoke(["update_params", "--help"]).stdout
    assert "--emissivity" not in mltk_cli.invoke(["summarize", "--help"]).stdout
    mltk_cli.invoke(["update_params", spec, "--emissivity", "0.9"])
    assert seen == [(0.9, 3)]
    mltk_cli.invoke(["update_params", spec])
    assert seen == [(0.9, 3)]


def test_an_option_without_a_model_is_applied_before_the_command(offer, mltk_cli):
    seen = []
    option = click.Option(["--quick"], is_flag=True)
    offer(
        "mltk_command_options",
        [
            CommandOption(
                "profile", option, lambda value, model: seen.append((value, model)), needs_model=False
            )
        ],
    )
    mltk_cli.invoke(["profile", "no_such_file.tflite", "--quick"])
    assert seen == [(True, None)]


def test_an_option_whose_name_is_taken_is_left_out_with_a_warning(
    offer, mltk_cli, mltk_plugin_manager, caplog
):
    mltk_plugin_manager.strict = False
    offer(
        "mltk_command_options",
        [CommandOption("train", click.Option(["--epochs"]), lambda value, model: None)],
    )
    assert mltk_cli.invoke(["train", "--help"]).exit_code == 0
    assert (
        "The option --epochs of the plugin 'thermal' is left out: the command 'train' already has"
        in caplog.text
    )


# Stages


def stage(name, **place):
    return Stage(name, "A stage.", lambda context: None, **place)


BUILTIN = [stage(name) for name in ("train", "archive", "quantize", "evaluate")]


def order(*stages):
    return [s.name for s in order_stages({s.name: s for s in (*stages, *BUILTIN)})]


def test_stages_run_beside_the_stage_they_name_and_others_last():
    assert order() == ["train", "archive", "quantize", "evaluate"]
    assert order(stage("x", after="train"), stage("y", before="train"), stage("z")) == [
        "y",
        "train",
        "x",
        "archive",
        "quantize",
        "evaluate",
        "z",
    ]
    assert order(stage("a", after="train"), stage("b", after="train"))[:3] == ["train", "a", "b"]
    assert order(stage("a", before="train"), stage("b", before="train"))[:3] == ["a", "b", "train"]
    assert order(stage("second", after="first"), stage("first", after="evaluate"))[-2:] == ["first", "second"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [stage("x", after="quantise")],
            "stage 'quantise', which does not exist. Did you mean 'quantize'",
        ),
        ([stage("x", after="y"), stage("y", after="x")], "The stages 'x' and 'y' wait for each other"),
        ([stage("x", after="train", before="archive")], "has both 'after' and 'before'"),
    ],
)
def test_stages_without_an_order_are_refused(stages, message):
    with pytest.raises(MltkError, match=message):
        order(*stages)


# Reports


def test_lines_and_figures_of_all_sections_are_collected_and_a_failing_one_is_a_warning(
    offer, mltk_plugin_manager, caplog
):
    mltk_plugin_manager.strict = False
    mltk_plugin_manager.unregister(name="mltk.stages")
    power = ReportSection(
        "power",
        lambda context: [("Power", context.evaluations["h5"]["p"])],
        lambda context: {"Power (mW)": 3},
    )
    offer("mltk_report_sections", [power, ReportSection("bad", lambda c: 1 / 0, lambda c: 1 / 0)])
    context = ReportContext(evaluations={"h5": {"p": "3 mW"}})
    assert report_lines(context) == [("Power", "3 mW")]
    assert report_figures(context) == {"Power (mW)": 3}
    message = "The report section 'bad' of the plugin 'thermal' failed: ZeroDivisionError: division by zero"
    assert caplog.text.count(message) == 1


# inherits


def test_inherits_compares_with_a_class_without_importing_its_module(tmp_path):
    model = MltkModel(tmp_path / "my_model.py")
    assert inherits(model, "mltk.model.model:MltkModel")
    assert not inherits(model, "mltk.model.model:HandlerError")
    assert not inherits(model, "no_such_module_at_all:Mixin")
    assert not inherits(None, "mltk.model.model:MltkModel")
