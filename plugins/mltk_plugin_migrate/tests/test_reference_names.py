"""Every public name of silabs-mltk is here, or an error says why not."""

import runpy
from pathlib import Path

import pytest

from mltk.errors import ReferenceNameError
from mltk.reference_names import ABSENT, reason_of_absence

SCRIPT = runpy.run_path(str(Path(__file__).with_name("make_names_page.py")))
NAMES = SCRIPT["read_names"]()


def test_the_page_lists_every_name_with_a_reason_where_it_is_absent():
    page = SCRIPT["TARGET"].read_text(encoding="utf-8")
    assert page == SCRIPT["render"](), "run: python plugins/mltk_plugin_migrate/tests/make_names_page.py"
    assert "|  |" not in page.partition("## Available")[0]


@pytest.mark.parametrize("module", NAMES)
def test_a_name_is_imported_or_refused_with_its_reason(module):
    for name in NAMES[module]:
        problem = SCRIPT["problem_with"](module, name)
        if problem is not None:
            refused, _, reason = problem.partition("' of silabs-mltk is not part of mltk: ")
            assert refused.startswith("'mltk")
            assert reason in ABSENT.values()


def test_every_reason_is_a_sentence_and_needed():
    assert all(reason.endswith(".") for reason in ABSENT.values())
    names = {f"{module}.{name}".rstrip(".") for module, names in NAMES.items() for name in names}
    given = {reason_of_absence(name) for name in names}
    internal = {"mltk.utils.adpcm", "mltk.utils.hexdump", "mltk.models.tinyml"}
    assert {key for key, reason in ABSENT.items() if reason not in given} <= internal


def test_an_absent_name_says_why_in_every_form_of_import():
    for statement in (
        "import mltk.utils.commander",
        "from mltk.utils import commander",
        "from mltk.utils.commander import query_platform",
    ):
        with pytest.raises(ReferenceNameError, match="hardware or programs of Silicon Labs"):
            exec(statement)
    with pytest.raises(ReferenceNameError, match="use generate_hash"):
        exec("from mltk.utils.hasher import hash_object")
    with pytest.raises(ImportError, match="paid speech services"):
        exec("from mltk.utils.audio_dataset_generator import AudioDatasetGenerator")


def test_other_missing_names_are_plain_errors():
    import mltk.utils.path

    assert not hasattr(mltk.utils.path, "nothing_like_it")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from mltk.utils.hasher import nothing")


def test_a_function_that_a_plugin_provides_is_a_module_too():
    import mltk.core
    from mltk.core.evaluate_autoencoder import AutoEncoderEvaluationResults

    assert callable(mltk.core.evaluate_autoencoder)
    assert AutoEncoderEvaluationResults is mltk.core.AutoEncoderEvaluationResults
