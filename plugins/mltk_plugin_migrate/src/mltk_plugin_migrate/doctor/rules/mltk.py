"""Rules about names, settings and packages that mltk lacks."""

from __future__ import annotations

from mltk_plugin_migrate.doctor.checks import imports, names, script, settings
from mltk_plugin_migrate.doctor.patterns import Argument, Check
from mltk_plugin_migrate.doctor.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    Rule("plugin-missing", "error", Check(imports.plugins_missing), "{problem}"),
    Rule("mltk-name", "error", Check(imports.mltk_names_unknown), "{problem}"),
    Rule("undefined-name", "error", Check(names.undefined_names), "'{name}' is not defined.{hint}"),
    Rule("mltk-argument", "error", Check(names.wrong_arguments), "{call}(): {problem}"),
    Rule(
        "estimates",
        "differs",
        Argument(("mltk.*profile_model", ".profile_model"), ("return_estimates",), bool),
        "Cycles, time and energy of a board are not estimated: they are 0.",
    ),
    Rule(
        "package-missing",
        "error",
        Check(imports.packages_missing),
        "The package '{package}'{later} is not installed. Install it with: pip install {distribution}",
    ),
    Rule(
        "pip-asks",
        "differs",
        Check(imports.packages_installed_by_the_script),
        "install_pip_package asks before it installs '{package}', and stops where nobody can answer. Install it "
        "beforehand (pip install {package}), or set MLTK_INSTALL_PACKAGES=always.",
    ),
    Rule(
        "model-attribute",
        "error",
        Check(script.unknown_attributes),
        "'{name}' is not a property of {variable}.{hint}",
    ),
    Rule(
        "model-name",
        "error",
        Check(script.wrong_file_name),
        "The file name is the model's name, and '{name}' has other characters than letters, digits and '_'. Rename it.",
    ),
    Rule(
        "several-models",
        "error",
        Check(script.several_models),
        "The script makes a second model, '{second}' beside '{first}'; mltk refuses to choose. Keep one in the file.",
    ),
    Rule(
        "no-model",
        "hint",
        Check(script.no_model),
        "No model is made here; it was read as a module that specifications import.",
    ),
    Rule(
        "command-file",
        "error",
        Check(script.command_file),
        "Files of this name are not looked for: plugins add commands. See mltk plugins new and the hook mltk_commands.",
    ),
    Rule(
        "converter-setting",
        "error",
        Check(settings.converter_settings_unknown),
        "The converter has no setting '{key}', which the reference passed over in silence.{hint}",
    ),
    Rule(
        "callback-setting",
        "error",
        Check(settings.callback_settings_unknown),
        "The Keras callback of my_model.{property} has no argument '{key}'.{hint}",
    ),
)
