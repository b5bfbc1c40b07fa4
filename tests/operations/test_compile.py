"""`mltk compile`, with compilers that plugins offer."""

import inspect
from pathlib import Path

import pytest

from mltk.core import TfliteModel, TfliteModelParameters, compile_model
from mltk.errors import FileFormatError, MltkError, ModelNotFoundError, SpecificationError
from mltk.plugins import Compiler, hookimpl
from mltk.utils.model_archive import ModelArchive

CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"


def marked(tflite_model, optimize="speed"):
    """Compile as a vendor would: tables for the hardware in a metadata section of its own."""
    tflite_model.add_metadata("NPU_TABLES", optimize.encode())
    return tflite_model.flatbuffer_data


def forgetful(tflite_model):
    for tag in tflite_model.get_all_metadata():
        tflite_model.remove_metadata(tag)
    return tflite_model.flatbuffer_data


@pytest.fixture
def offer(mltk_plugin_manager):
    """Offers compilers: `offer(name=function)`."""

    def offer(**functions):
        class Plugin:
            @hookimpl
            def mltk_compilers(self):
                return [Compiler(name, "For tests.", f) for name, f in functions.items()]

        mltk_plugin_manager.register(Plugin(), "compiling")

    return offer


@pytest.fixture
def model(private_home):
    """A `.tflite` with parameters and a section of somebody else's."""
    tflite_model = TfliteModel.load_flatbuffer_file(CONV)
    TfliteModelParameters({"volume_db": 5.0}).add_to_tflite_model(tflite_model)
    tflite_model.add_metadata("SOMEBODYS", b"\x01\x02")
    tflite_model.save(private_home / "m.tflite")
    return private_home / "m.tflite"


def test_the_signature_is_the_references_but_for_our_own_argument():
    assert list(inspect.signature(compile_model).parameters) == [
        "model",
        "accelerator",
        "output",
        "update_archive",
        "logger",
        "test",
        "kwargs",
    ]


def test_the_compiled_file_lies_beside_the_tflite_and_the_input_stays(offer, model):
    before = model.read_bytes()
    offer(npu=marked)
    assert compile_model(model, "npu", optimize="size") == str(model.with_name("m.npu.tflite"))
    compiled = TfliteModel.load_flatbuffer_file("m.npu.tflite")
    assert compiled.get_metadata("NPU_TABLES") == b"size"
    assert compiled.get_metadata("SOMEBODYS") == b"\x01\x02"
    assert model.read_bytes() == before


def test_metadata_that_the_compiler_drops_is_added_again(offer, model):
    offer(npu=forgetful)
    compiled = compile_model(str(model), "npu", output="tflite_model")
    source = TfliteModel.load_flatbuffer_file(model)
    assert compiled.get_all_metadata() == source.get_all_metadata()
    assert TfliteModelParameters.load_from_tflite_model(compiled)["volume_db"] == 5.0


def test_a_model_in_memory_comes_back_in_memory(offer, model):
    offer(npu=marked)
    in_memory = TfliteModel(model.read_bytes())
    assert isinstance(compile_model(in_memory, "npu"), TfliteModel)
    assert in_memory.get_metadata("NPU_TABLES") is None
    assert not list(Path.cwd().glob("*.npu.tflite"))


@pytest.mark.parametrize(
    ("output", "path"), [("a/b.tflite", "a/b.tflite"), ("folder", "folder/m.npu.tflite")]
)
def test_the_output_is_a_file_or_a_folder(offer, model, output, path):
    offer(npu=marked)
    assert compile_model(model, "npu", output=output) == path
    assert TfliteModel.load_flatbuffer_file(path).get_metadata("NPU_TABLES")


def test_a_trained_model_is_compiled_into_its_log_folder_and_archive(offer, trained):
    offer(npu=marked)
    path = Path(compile_model("tiny_v1", "npu"))
    assert path == trained.cache / "models" / "tiny_v1" / "tiny_v1.npu.tflite"
    archive = ModelArchive(trained.work / "tiny_v1.mltk.zip")
    assert archive.read("tiny_v1.npu.tflite") == path.read_bytes()
    compile_model("tiny_v1", "npu", update_archive=False, optimize="other")
    assert archive.read("tiny_v1.npu.tflite") != path.read_bytes()


def test_an_archive_is_compiled_without_running_its_specification(offer, trained):
    offer(npu=marked)
    (trained.work / "tiny_v1.py").unlink()
    archive = ModelArchive("tiny_v1.mltk.zip")
    archive.update({"tiny_v1.py": b"raise SystemExit('ran')"})
    for model in ("tiny_v1.mltk.zip", "tiny_v1"):
        path = Path(compile_model(model, "npu"))
        assert archive.read("tiny_v1.npu.tflite") == path.read_bytes()


def test_the_archive_stays_when_the_output_is_elsewhere(offer, trained):
    offer(npu=marked)
    before = Path("tiny_v1.mltk.zip").read_bytes()
    compile_model("tiny_v1.mltk.zip", "npu", output="x.tflite", update_archive=True)
    assert Path("tiny_v1.mltk.zip").read_bytes() == before


def test_a_specification_may_bring_a_compiler_of_its_own(mltk_plugin_manager, trained):
    spec = trained.work / "tiny_v1.py"
    spec.write_text(
        spec.read_text() + "from mltk.plugins import Compiler, hookimpl\n"
        "@hookimpl\n"
        "def mltk_compilers():\n"
        "    return [Compiler('own', 'Its own.', lambda m: m.flatbuffer_data)]\n"
    )
    assert compile_model("tiny_v1", "own").endswith("tiny_v1.own.tflite")


def test_without_a_compiler_there_is_one_clear_line(mltk_cli, mltk_plugin_manager, model):
    result = mltk_cli.invoke(["compile", model, "-a", "mvp"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "mltk: error: Nothing here compiles for 'mvp': no installed plugin offers a compiler. "
        "Install one that does.\n"
    )
    listed = mltk_cli.invoke(["compile", "--list"])
    assert (listed.exit_code, listed.stdout) == (0, "No installed plugin offers a compiler.\n")


def test_an_unknown_accelerator_is_answered_with_near_matches(offer, model):
    offer(npu=marked)
    with pytest.raises(
        SpecificationError, match=r"no compiler named 'npx'. Did you mean 'npu'\? Those offered"
    ):
        compile_model(model, "npx")


def test_an_unknown_option_is_answered_with_the_compilers_own(offer, model):
    offer(npu=marked, any=lambda m, **options: m.flatbuffer_data)
    with pytest.raises(SpecificationError, match=r"no option 'optimise'. Did you mean 'optimize'\?"):
        compile_model(model, "npu", optimise="size")
    assert compile_model(model, "any", whatever=1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m: m, "must return the bytes of a .tflite file, not TfliteModel"),
        (lambda m: b"nonsense", "did not return a .tflite"),
    ],
    ids=["model", "nonsense"],
)
def test_a_compiler_that_returns_something_else_is_named(offer, model, function, message):
    offer(npu=function)
    with pytest.raises(MltkError, match=f"The compiler 'npu' {message}"):
        compile_model(model, "npu")
    assert not Path("m.npu.tflite").exists()


def test_a_compiler_may_write_another_kind_of_file(mltk_plugin_manager, trained):
    class Plugin:
        @hookimpl
        def mltk_compilers(self):
            return [Compiler("npu", "For tests.", lambda m: m.flatbuffer_data[:9], ending=".bin")]

    mltk_plugin_manager.register(Plugin(), "compiling")
    path = Path(compile_model("tiny_v1", "npu"))
    assert path == trained.cache / "models" / "tiny_v1" / "tiny_v1.npu.bin"
    assert ModelArchive("tiny_v1.mltk.zip").read("tiny_v1.npu.bin") == path.read_bytes()
    assert len(path.read_bytes()) == 9
    tflite_model = TfliteModel.load_flatbuffer_file(CONV)
    assert compile_model(tflite_model, "npu", output="x.bin") == "x.bin"
    with pytest.raises(SpecificationError, match=r"writes a \.bin file, not a \.tflite"):
        compile_model(tflite_model, "npu", output="tflite_model")


def test_wrong_input_is_named(offer, model):
    offer(npu=marked)
    with pytest.raises(ModelNotFoundError, match=r"no\.tflite"):
        compile_model("no.tflite", "npu")
    Path("m.h5").touch()
    with pytest.raises(SpecificationError, match=r"m\.h5 is a Keras model, not a \.tflite file"):
        compile_model("m.h5", "npu")
    with pytest.raises(SpecificationError, match="no archive to update"):
        compile_model(model, "npu", update_archive=True)
    Path("bad.tflite").write_bytes(model.read_bytes()[:500])
    with pytest.raises(FileFormatError, match=r"bad\.tflite"):
        compile_model("bad.tflite", "npu")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {"n": None, "mode": None}),
        (["--n", "3", "--mode=fast"], {"n": 3, "mode": "fast"}),
        (["--n", "-1.5", "--mode"], {"n": -1.5, "mode": True}),
        (["--n=", "--mode", "2"], {"n": "", "mode": 2}),
    ],
    ids=str,
)
def test_the_command_hands_on_the_compilers_options(mltk_cli, offer, model, words, given):
    seen = []

    def compile_(m, n=None, mode=None):
        seen.append({"n": n, "mode": mode})
        return m.flatbuffer_data

    offer(npu=compile_)
    result = mltk_cli.invoke(["compile", model, "-a", "npu", *words])
    assert (result.exit_code, result.stdout) == (0, f"Written: {model.with_name('m.npu.tflite')}\n")
    assert seen == [given]
    assert mltk_cli.invoke(["compile", "--list"]).stdout.split() == ["npu", "For", "tests."]


@pytest.mark.parametrize("word", ["more", "--logger=x", "--1=2"])
def test_what_is_no_option_is_a_usage_error(mltk_cli, offer, model, word):
    offer(npu=marked)
    result = mltk_cli.invoke(["compile", model, "-a", "npu", word])
    assert result.exit_code == 2
    assert word in result.stderr
