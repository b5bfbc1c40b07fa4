import csv
import inspect
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mltk.core import (
    ProfilingModelResults,
    TfliteModel,
    TfliteOpCode,
    compare_models,
    load_mltk_model,
    profile_model,
)
from mltk.errors import (
    ArchiveFileNotFoundError,
    FileFormatError,
    MltkError,
    ModelNotFoundError,
    SpecificationError,
    TrustError,
)
from mltk.plugins import Profiler, hookimpl
from mltk.results.profiling import MemoryPart, ProfilingLayerResult, RuntimeMemory
from mltk.tflite.metrics import tflite_model_metrics
from mltk.utils.model_archive import ModelArchive

# Profilers of installed plugins may be the default.
pytestmark = pytest.mark.usefixtures("mltk_plugin_manager")

DATA = Path(__file__).parents[1] / "tflite" / "data"
CONV = DATA / "conv_int8.tflite"
NOT_MEASURED = {
    None: ("accelerator", "platform", "tflite_micro_model_details", "host_time", "memory"),
    0: (
        "cpu_clock_rate",
        "runtime_memory_bytes",
        "accelerator_cycles",
        "cpu_cycles",
        "cpu_utilization",
        "time",
        "energy",
        "n_unsupported_layers",
    ),
}


def measured(model: TfliteModel, **kwargs) -> ProfilingModelResults:
    """Results as a plugin that measures would give them: 2 ms and 1 uJ per layer, one layer not supported."""
    layers = [
        ProfilingLayerResult.from_layer(layer, time=0.002, energy=1e-6, cpu_cycles=1000, supported=True)
        for layer in model.layers
    ]
    layers[-1] = replace(layers[-1], supported=False, error_msg="too wide, by far")
    return ProfilingModelResults(
        model,
        "simulated",
        layers,
        accelerator="Fast/1",
        cpu_clock_rate=1e6,
        runtime_memory_bytes=20480,
        **kwargs,
    )


@pytest.fixture
def results() -> ProfilingModelResults:
    return profile_model(CONV)


@pytest.fixture
def plugin(mltk_plugin_manager):
    """Offers profilers: `plugin(name=function)`."""

    def offer(**functions):
        class Plugin:
            @hookimpl
            def mltk_profilers(self):
                return [Profiler(name, "For tests.", function) for name, function in functions.items()]

        mltk_plugin_manager.register(Plugin(), "measuring")

    return offer


def test_the_static_profile_has_the_counts_of_the_summaries(results):
    model = TfliteModel.load_flatbuffer_file(CONV)
    metrics = tflite_model_metrics(model)
    assert (results.name, results.method, results.is_simulated) == ("conv_int8", "static", False)
    assert (results.ops, results.macs) == (metrics.ops, metrics.macs) == (9246, 3618)
    assert [(la.ops, la.macs, la.opcode_str) for la in results.layers] == [
        (la.ops, la.macs, la.kind) for la in metrics.layers
    ]
    assert results.n_layers == len(results.layers) == 11
    assert results.flatbuffer_size == CONV.stat().st_size
    assert (results.input_shape_str, results.input_dtype_str) == ("1x12x12x1", "int8")
    assert (results.output_shape_str, results.output_dtype_str) == ("1x3", "int8")
    conv = results.layers[1]
    assert (conv.index, conv.name) == (1, "op1-conv_2d")
    assert (conv.input_shape_str, conv.output_shape_str) == ("1x14x14x1,4x3x3x1,4", "1x6x6x4")
    assert (conv.input_dtype_str, conv.output_dtype_str) == ("int8,int8,int32", "int8")
    assert conv.weights_size == 4 * 3 * 3 + 4 * 4
    assert "stride:2x2" in conv.options_str


def test_weights_of_several_layers_count_once(results):
    conv = results.layers[1]
    twice = ProfilingModelResults(results.tflite_model, "static", [conv, conv])
    assert twice.weights_size == conv.weights_size
    assert twice.macs == 2 * conv.macs


def test_what_was_not_measured_is_zero_or_none_and_in_no_report(results):
    for value, names in NOT_MEASURED.items():
        assert [getattr(results, name) for name in names] == [value] * len(names)
    assert sum(layer.cpu_cycles for layer in results.layers) == 0
    assert results.unsupported_layers == []
    content = results.to_dict()
    assert list(content["summary"]) == [
        "name",
        "method",
        "input_shape",
        "input_dtype",
        "output_shape",
        "output_dtype",
        "tflite_size",
        "ops",
        "macs",
        "n_layers",
    ]
    assert list(content["layer_labels"]) == [
        "index",
        "opcode",
        "ops",
        "macs",
        "input_shape",
        "output_shape",
        "options",
    ]
    everything = results.to_dict(exclude_null=False)
    assert everything["summary"]["runtime_memory_size"] == 0
    assert {layer["time"] for layer in everything["layers"]} == {0}
    assert everything["summary"]["n_unsupported_layers"] is None
    assert "nothing was run" in str(results)
    assert "memory" not in str(results)


def test_measured_values_have_totals_and_rates():
    results = measured(TfliteModel.load_flatbuffer_file(CONV))
    assert results.time == results.stat_total("time") == pytest.approx(0.022)
    assert results.energy == pytest.approx(11e-6)
    assert results.cpu_utilization == pytest.approx(50)
    assert results.n_unsupported_layers == 1
    assert results.unsupported_layers == [results.layers[-1]]
    summary = results.get_summary()
    assert summary["inf_per_sec"] == pytest.approx(1 / 0.022)
    assert summary["op_per_s"] == pytest.approx(9246 / 0.022)
    assert summary["mac_per_s"] == pytest.approx(3618 / 0.022)
    assert summary["j_per_op"] == pytest.approx(11e-6 / 9246)
    assert summary["j_per_mac"] == pytest.approx(11e-6 / 3618)
    assert "accelerator_cycles" not in summary
    assert results.get_summary(include_labels=True, format_units=True)["runtime_memory_size"] == (
        "Runtime memory (bytes)",
        "20480",
    )
    assert "CPU utilization (%): 50" in str(results)
    with pytest.raises(AttributeError):
        results.stat_total("tiem")


def test_a_total_may_be_measured_for_the_whole_model():
    model = TfliteModel.load_flatbuffer_file(CONV)
    results = measured(model, totals={"time": 0.5})
    assert (results.time, results.get_summary()["inf_per_sec"]) == (0.5, 2)
    assert (
        ProfilingModelResults(model, "embedded", totals={"time": 0.0}).get_summary().get("op_per_s") is None
    )


def test_json_and_csv_hold_the_same_values():
    results = measured(TfliteModel.load_flatbuffer_file(CONV))
    for full in (False, True):
        content = json.loads(results.to_json(full_summary=full))
        assert content == results.to_dict(full_summary=full)
        for table, text in zip(
            ([content["summary"]], content["layers"]), results.to_csv(full_summary=full), strict=True
        ):
            rows = list(csv.DictReader(text.splitlines()))
            assert rows == [{k: "" if v is None else str(v) for k, v in row.items()} for row in table]


def test_a_profiler_may_name_a_method_of_its_own():
    results = ProfilingModelResults(TfliteModel(CONV.read_bytes()), "m4")
    assert "Method: m4\n" in results.to_string()
    assert results.to_dict()["summary"]["method"] == "m4"


def test_the_full_summary_adds_types_quantization_and_sizes(results):
    assert "quantization" not in str(results)
    conv = results.to_dict(full_summary=True)["layers"][1]
    assert conv["input_dtype"] == "int8,int8,int32"
    assert conv["input_quantization"].split(",")[1] == "4 channels on axis 0"
    assert conv["weights_size"] == 52
    assert results.get_summary(full_summary=True)["output_quantization"] == "scale=0.00390625 zero point=-128"
    assert "Weights (bytes): 358" in results.to_string(full_summary=True)


def test_units_are_letters_or_whole_numbers(results):
    assert "Multiply-accumulates: 3.618 k" in results.to_string()
    assert "Multiply-accumulates: 3618" in results.to_string(format_units=False)


def test_the_report_is_four_files_named_after_accelerator_and_method(results, tmp_path):
    written = results.generate_report(tmp_path / "new" / "folder")
    assert [path.name for path in written] == [
        f"profiling_report-none-static{e}" for e in (".txt", ".json", ".csv", ".png")
    ]
    assert sorted(written) == sorted((tmp_path / "new" / "folder").iterdir())
    text, content, table = (path.read_text() for path in written[:3])
    assert text == f"{results}\n"
    assert json.loads(content) == results.to_dict()
    assert table == results.to_csv()[1]
    fast = measured(TfliteModel.load_flatbuffer_file(CONV)).generate_report(tmp_path)
    assert fast[0].name == "profiling_report-Fast_1-simulated.txt"


def test_the_picture_has_a_bar_for_each_layer_and_a_panel_for_each_measure(results):
    from matplotlib.figure import Figure

    figure = Figure()
    results.draw(figure)
    assert [axes.get_title() for axes in figure.axes] == ["Multiply-accumulates", "Weights (bytes)"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [la.macs for la in results.layers]
    assert figure.axes[0].get_yticklabels()[1].get_text() == "1 conv_2d"
    figure = Figure()
    measured(results.tflite_model).draw(figure)
    assert [axes.get_title() for axes in figure.axes][1:4] == ["Time (s)", "CPU cycles", "Energy (J)"]


def test_the_parts_of_the_memory_are_in_every_report(results):
    memory = RuntimeMemory(
        72176, head=69120, tail=3056, smallest_arena=72192, parts=(MemoryPart("persistent", 640, 600, 3),)
    )
    results = ProfilingModelResults(results.tflite_model, "simulated", memory=memory)
    assert results.runtime_memory_bytes == 72176
    summary = results.get_summary(format_units=True)
    assert [
        summary[key] for key in ("runtime_memory_size", "arena_head", "arena_tail", "smallest_arena")
    ] == [
        "72176",
        "69120",
        "3056",
        "72192",
    ]
    assert json.loads(results.to_json())["memory"] == [
        {"name": "persistent", "used": 640, "requested": 600, "count": 3}
    ]
    (line,) = [line for line in str(results).splitlines() if "persistent" in line]
    assert line.split("|")[1:-1] == [
        " persistent                 ",
        " 640   ",
        " 600               ",
        " 3      ",
    ]


@pytest.mark.parametrize("name", [path.stem for path in sorted(DATA.glob("*.tflite"))])
def test_every_kind_of_model_can_be_profiled(name):
    results = profile_model(str(DATA / f"{name}.tflite"))
    assert results.n_layers > 0
    assert results.to_string(full_summary=True)


def test_a_model_in_memory_is_profiled():
    model = TfliteModel.load_flatbuffer_file(CONV)
    assert profile_model(model).tflite_model is model


def test_a_damaged_file_is_refused():
    Path("damaged.tflite").write_bytes(CONV.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match=r"damaged\.tflite"):
        profile_model("damaged.tflite")


def test_missing_models_are_named(write_spec):
    with pytest.raises(ModelNotFoundError, match=r"no\.tflite"):
        profile_model("no.tflite")
    with pytest.raises(ModelNotFoundError, match="nothing_v1"):
        profile_model("nothing_v1")
    write_spec()
    with pytest.raises(ArchiveFileNotFoundError, match="Train the model first"):
        profile_model("tiny_v1")


def test_a_keras_file_is_refused(private_home):
    Path("x.keras").touch()
    with pytest.raises(SpecificationError, match=r"x\.keras is a Keras model, not a \.tflite file"):
        profile_model("x.keras")


def test_a_tflite_cannot_be_built():
    for model in (CONV, TfliteModel.load_flatbuffer_file(CONV)):
        with pytest.raises(SpecificationError, match="cannot be built"):
            profile_model(model, build=True)


def test_the_signature_is_the_references():
    parameters = inspect.signature(profile_model).parameters
    assert {n: p.default for n, p in parameters.items() if n not in ("model", "kwargs", "trust")} == {
        "image_path": None,
        "accelerator": None,
        "baud": 115200,
        "port": None,
        "use_device": False,
        "build": False,
        "platform": None,
        "runtime_buffer_size": -1,
        "test": False,
        "post_process": True,
        "return_estimates": False,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"image_path": "app.s37"},
        {"baud": 9600},
        {"port": "COM3"},
        {"use_device": True},
        {"platform": "brd2601a"},
        {"runtime_buffer_size": 4096},
    ],
    ids=lambda given: next(iter(given)),
)
def test_hardware_needs_a_plugin(given):
    (name,) = given
    with pytest.raises(SpecificationError, match=f"leave out {name}=.*needs a plugin"):
        profile_model(CONV, **given)


def test_estimates_are_zero_with_a_warning(caplog, cli):
    results = profile_model(CONV, return_estimates=True)
    assert (results.cpu_cycles, results.energy, results.time) == (0, 0, 0)
    assert len([r for r in caplog.records if "cannot be estimated" in r.message]) == 1
    command = cli.invoke(["profile", CONV, "--estimates"])
    assert command.exit_code == 0
    assert "cannot be estimated" in command.stderr


def test_a_layer_has_a_summary(results):
    conv = results.layers[1]
    assert (conv.opcode, conv.is_unsupported, conv.is_accelerated) == (TfliteOpCode.CONV_2D, False, False)
    summary = conv.get_summary()
    assert list(summary) == ["index", "opcode", "ops", "macs", "input_shape", "output_shape", "options"]
    assert conv.get_summary(include_labels=True, format_units=True)["macs"] == ("MACs", "1.296 k")
    assert set(conv.get_summary(full_summary=True, excluded_columns=["macs"])) - set(summary) == {
        "input_dtype",
        "output_dtype",
        "input_quantization",
        "output_quantization",
        "weights_size",
    }


def test_csv_may_have_no_header_and_another_dialect(results):
    with_header, without = results.to_csv()[1], results.to_csv(include_header=False, dialect="excel-tab")[1]
    assert without.replace("\t", ",").replace('"', "") == with_header.partition("\n")[2].replace('"', "")


def test_an_unknown_argument_is_refused():
    with pytest.raises(SpecificationError, match=r"no argument 'acelerator'\. Did you mean 'accelerator'"):
        profile_model(CONV, acelerator="static")


def test_a_plugins_profiler_is_chosen_by_name(plugin):
    plugin(board=measured)
    assert profile_model(CONV).method == "static"
    assert profile_model(CONV, accelerator="static").method == "static"
    assert profile_model(CONV, accelerator="board").accelerator == "Fast/1"
    with pytest.raises(
        SpecificationError, match=r"named 'bord'\. Did you mean 'board'\? .*: (board, static|static, board)\."
    ):
        profile_model(CONV, accelerator="bord")


def test_the_profiler_that_is_offered_as_the_default_is_used(mltk_plugin_manager):
    class Plugin:
        @hookimpl
        def mltk_profilers(self):
            return [Profiler("other", "", lambda model: None), Profiler("fast", "", measured, default=True)]

    mltk_plugin_manager.register(Plugin(), "measuring")
    assert profile_model(CONV).accelerator == "Fast/1"
    assert profile_model(CONV, accelerator="static").method == "static"


def test_layers_that_are_not_supported_are_named_in_one_warning(plugin, cli):
    plugin(board=measured)
    warned = cli.invoke(["profile", CONV, "-a", "board"])
    assert warned.exit_code == 0
    (line,) = warned.stderr.splitlines()
    assert "The profiler 'board' cannot run" in line
    assert "op10-softmax: too wide, by far" in line


def test_a_profiler_that_returns_something_else_is_named(plugin):
    plugin(broken=lambda model: {"time": 1})
    with pytest.raises(MltkError, match="'broken' must return ProfilingModelResults, not dict"):
        profile_model(CONV, accelerator="broken")


def test_a_trained_model_is_profiled_by_name_path_and_archive(trained):
    expected = profile_model(trained.cache / "models/tiny_v1/tiny_v1.tflite").to_dict()
    for model in ("tiny_v1", "tiny_v1.py", "tiny_v1.mltk.zip", load_mltk_model("tiny_v1")):
        assert profile_model(model).to_dict() == expected
    Path("tiny_v1.py").unlink()
    assert profile_model("tiny_v1").to_dict() == expected


def test_an_archives_code_is_not_run(trained):
    mark = trained.work / "mark"
    archive = ModelArchive(trained.work / "tiny_v1.mltk.zip")
    archive.update({"tiny_v1.py": f"__import__('pathlib').Path({str(mark)!r}).touch()".encode()})
    Path("tiny_v1.py").unlink()
    for model in (archive.path, "tiny_v1"):
        assert profile_model(model).macs > 0
        with pytest.raises(TrustError):
            profile_model(model, build=True)
    assert not mark.exists()


def test_handlers_are_told_and_the_specifications_own_profiler_is_offered(trained):
    spec = Path("tiny_v1.py")
    spec.write_text(
        spec.read_text()
        + """
from mltk.core import MltkModelEvent, ProfilingModelResults
from mltk.plugins import Profiler, hookimpl

told = []

def tell(mltk_model, logger, results):
    told.append(results)

my_model.add_event_handler(MltkModelEvent.AFTER_PROFILE, tell)

@hookimpl
def mltk_profilers():
    return [Profiler("own", "", lambda model: ProfilingModelResults(model, "embedded", totals={"time": 1}))]
"""
    )
    model = load_mltk_model("tiny_v1")
    results = profile_model(model, accelerator="own")
    assert (results.method, results.time) == ("embedded", 1)
    assert model.specification_module.told == [results]


def test_build_profiles_a_model_that_was_never_trained(write_spec):
    write_spec()
    results = profile_model("tiny_v1", build=True)
    assert (results.input_shape_str, results.input_dtype_str) == ("1x8x8x1", "int8")
    assert not Path("tiny_v1.mltk.zip").exists()


@pytest.mark.parametrize("model", [str(CONV), "tiny_v1.mltk.zip"])
def test_a_file_is_profiled_without_tensorflow(trained, model):
    code = f"""
import sys
from mltk.cli.main import main
sys.argv = ["mltk", "profile", {model!r}]
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
assert not {{"tensorflow", "keras", "matplotlib"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Multiply-accumulates" in done.stdout


def test_the_command_shows_the_profile_and_writes_the_report(cli):
    assert cli.invoke(["profile", CONV]).stdout == f"{profile_model(CONV)}\n"
    shown = cli.invoke(["profile", CONV, "--no-format", "--full-summary", "-a", "static", "-o", "out"])
    assert shown.exit_code == 0, shown.stderr
    text = Path("out/profiling_report-none-static.txt").read_text()
    assert shown.stdout.startswith(text)
    assert shown.stdout.count("Written: out") == 4
    assert "Multiply-accumulates: 3618" in text
    assert "4 channels on axis 0" in text


def test_the_command_lists_the_profilers(cli, plugin):
    plugin(board=measured)
    result = cli.invoke(["profile", "--list"])
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"board", "static"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing_v1"], "no model named 'nothing_v1'"),
        (["no.tflite"], "no file no.tflite"),
        ([str(CONV), "-a", "statik"], "Did you mean 'static'?"),
        ([str(CONV), "--build"], "cannot be built"),
    ],
)
def test_a_wrong_call_is_one_line(cli, args, message):
    result = cli.invoke(["profile", *args])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_operators_that_are_not_counted_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = TfliteModel.load_flatbuffer_file(DATA / "conv_int8.tflite")
    results = ProfilingModelResults(model, "static")
    assert results.not_counted is None
    assert "not counted" not in results.to_string()
    code = model.flatbuffer_model.operatorCodes[model.flatbuffer_subgraph.operators[10].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = b"MyOperator"
    model.flatbuffer_subgraph.operators[10].builtinOptionsType = 0
    model.flatbuffer_subgraph.operators[10].builtinOptions = None
    model.regenerate_flatbuffer(reload_model=True)
    results = ProfilingModelResults(model, "static")
    assert "Operators not counted: custom:MyOperator" in results.to_string()
    model.save("odd.tflite")
    compared = compare_models(["odd.tflite", str(DATA / "conv_int8.tflite")])
    assert [m.not_counted for m in compared.models] == ["custom:MyOperator", None]
    assert "Operators not counted" in compared.to_string()
