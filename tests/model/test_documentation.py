from pathlib import Path

import pytest

from mltk.core import DatasetMixin, EvaluateClassifierMixin, EvaluateMixin, MltkModel, TrainMixin
from mltk.model.attributes import Attribute
from mltk.model.mixins.train import CONVERTER_DEFAULTS

PAGE = Path(__file__).parents[2] / "docs" / "specification.md"


@pytest.mark.parametrize(
    "owner", [MltkModel, TrainMixin, DatasetMixin, EvaluateMixin, EvaluateClassifierMixin]
)
def test_every_property_is_on_the_page(owner):
    page = PAGE.read_text(encoding="utf-8")
    names = [n for n, v in vars(owner).items() if isinstance(v, Attribute) and not n.startswith("_")]
    assert names
    assert not [n for n in names if f"`{n}`" not in page]


def test_every_converter_setting_of_ours_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    ours = [n for n in CONVERTER_DEFAULTS if not n.startswith(("experimental", "allow"))]
    assert not [n for n in ours if f"`{n}`" not in page]
