"""`mltk new`: a specification for a data set, from the templates of plugins."""

import pytest

from mltk.errors import DatasetError, MltkError
from mltk.operations.create import create_specification
from mltk.plugins import Draft, Template, hookimpl


def draft_thermal(request):
    files = list(request.data.glob("*/*.tiff"))
    if not files:
        return None
    return Draft(f"# {request.name} is trained with {request.dataset}\n", [f"{len(files)} thermal images"])


def draft_anything(request):
    return Draft("# anything\n", ["any files"], suitability=0.1)


class ThermalPlugin:
    @hookimpl
    def mltk_templates(self):
        return [
            Template("thermal", "Thermal images.", draft_thermal),
            Template("anything", "Any files.", draft_anything),
        ]


@pytest.fixture(autouse=True)
def thermal(mltk_plugin_manager):
    mltk_plugin_manager.register(ThermalPlugin(), "thermal")


@pytest.fixture
def data(private_home):
    folder = private_home / "data"
    (folder / "hot").mkdir(parents=True)
    (folder / "hot" / "1.tiff").touch()
    return folder


def test_the_most_suitable_template_writes_the_specification(data, private_home):
    created = create_specification("oven_v1", data)
    assert created.template == "thermal"
    assert created.path.read_text() == "# oven_v1 is trained with data\n"
    assert created.draft.findings == ["1 thermal images"]


def test_a_template_can_be_chosen(data):
    assert create_specification("oven_v1", data, template="anything").template == "anything"


def test_a_template_that_cannot_read_the_files_leaves_them_to_others(data, mltk_plugin_manager):
    class PickyPlugin:
        @hookimpl
        def mltk_templates(self):
            return [Template("picky", "Other files.", self.draft)]

        def draft(self, request):
            raise DatasetError("The file '1.tiff' has three axes.")

    mltk_plugin_manager.register(PickyPlugin(), "picky")
    assert create_specification("oven_v1", data).template == "thermal"
    with pytest.raises(DatasetError, match="three axes"):
        create_specification("oven_v2", data, template="picky")


def test_data_elsewhere_are_named_by_their_whole_path(data, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    created = create_specification("oven_v1", data, folder=folder)
    assert created.path.read_text() == f"# oven_v1 is trained with {data}\n"


def test_an_existing_file_is_replaced_on_request_only(data):
    path = create_specification("oven_v1", data).path
    path.write_text("# mine")
    with pytest.raises(MltkError, match=r"oven_v1.py' exists already.*--force"):
        create_specification("oven_v1", data)
    assert path.read_text() == "# mine"
    create_specification("oven_v1", data, overwrite=True)
    assert path.read_text() != "# mine"


@pytest.mark.parametrize("name", ["1st", "a-b", "class", "", "a/b"])
def test_a_name_that_cannot_be_a_module_is_refused(name, data):
    with pytest.raises(MltkError, match="is not a name for a model"):
        create_specification(name, data)


@pytest.mark.parametrize("name", ["keras", "json", "mltk"])
def test_a_name_that_would_hide_a_module_is_refused(name, data):
    with pytest.raises(MltkError, match="is the name of a Python module"):
        create_specification(name, data)


def test_an_unknown_template_gets_near_names(data):
    with pytest.raises(MltkError, match=r"no template 'termal'\. Did you mean 'thermal'"):
        create_specification("oven_v1", data, template="termal")


def test_data_that_suit_no_template_are_refused(data):
    (data / "hot" / "1.tiff").unlink()
    with pytest.raises(DatasetError, match="suit no template"):
        create_specification("oven_v1", data, template="thermal")
    with pytest.raises(DatasetError, match="does not exist"):
        create_specification("oven_v1", data / "missing")
