"""The command `mltk`, and the helpers that commands and specifications use: `from mltk import cli`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    from mltk.cli._console import abort as abort
    from mltk.cli._console import get_logger as get_logger
    from mltk.cli._console import handle_exception as handle_exception
    from mltk.cli._console import is_command_active as is_command_active
    from mltk.cli._console import parse_accelerator_option as parse_accelerator_option
    from mltk.cli._console import print_did_you_mean_error as print_did_you_mean_error
    from mltk.cli._console import print_error as print_error
    from mltk.cli._console import print_info as print_info
    from mltk.cli._console import print_table as print_table
    from mltk.cli._console import print_text as print_text
    from mltk.cli._console import print_warning as print_warning
    from mltk.cli._model_options import model_argument as model_argument
    from mltk.cli._model_options import require_model as require_model
    from mltk.cli._model_options import test_option as test_option
    from mltk.cli._model_options import trust_option as trust_option
    from mltk.cli._model_options import verbose_option as verbose_option
    from mltk.cli._model_options import with_consent as with_consent
    from mltk.cli.main import root_cli as root_cli

_CONSOLE = "mltk.cli._console"
_MODEL = "mltk.cli._model_options"

_NAMES = {
    "abort": _CONSOLE,
    "get_logger": _CONSOLE,
    "handle_exception": _CONSOLE,
    "is_command_active": _CONSOLE,
    "model_argument": _MODEL,
    "parse_accelerator_option": _CONSOLE,
    "print_did_you_mean_error": _CONSOLE,
    "print_error": _CONSOLE,
    "print_info": _CONSOLE,
    "print_table": _CONSOLE,
    "print_text": _CONSOLE,
    "print_warning": _CONSOLE,
    "require_model": _MODEL,
    "root_cli": "mltk.cli.main",
    "test_option": _MODEL,
    "trust_option": _MODEL,
    "verbose_option": _MODEL,
    "with_consent": _MODEL,
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
