import json
from pathlib import Path

import pytest

from mltk.core import (
    TfliteModel,
    TfliteModelParameters,
    load_mltk_model,
    summarize_model,
    update_model_parameters,
)
from mltk.errors import FileFormatError, SpecificationError
from mltk.utils.model_archive import ModelArchive


def test_summary_of_the_keras_model_has_layers_macs_and_parameters(trained):
    summary = summarize_model("tiny_v1")
    for text in ("conv2d", "Total MACs", "Name: tiny_v1", "volume_db: 5.0"):
        assert text in summary


def test_summary_of_the_tflite_has_layers_macs_parameters_and_size(trained):
    by_name = summarize_model("tiny_v1", tflite=True)
    by_path = summarize_model(str(trained.cache / "models/tiny_v1/tiny_v1.tflite"))
    for summary in (by_name, by_path):
        for text in ("conv_2d", "Total MACs", "volume_db: 5.0", "UCI digits, 8x8", ".tflite file size"):
            assert text.lower() in summary.lower()


def test_summary_before_any_training_is_built_from_the_specification(write_spec):
    write_spec()
    assert "conv2d" in summarize_model("tiny_v1")
    assert "conv2d" in summarize_model("tiny_v1", build=True)


def test_summaries_of_files_and_archives_run_no_code(trained):
    mark = trained.work / "mark"
    archive = ModelArchive(trained.work / "tiny_v1.mltk.zip")
    archive.update({"tiny_v1.py": f"__import__('pathlib').Path({str(mark)!r}).touch()".encode()})
    foreign = archive.path.rename(archive.path.with_name("foreign_v1.mltk.zip"))
    names = {n: ModelArchive(foreign).read(n) for n in ModelArchive(foreign).names()}
    ModelArchive(foreign).update(
        {n.replace("tiny_v1", "foreign_v1"): c for n, c in names.items()}, remove=[""]
    )
    assert "conv2d" in summarize_model(str(foreign))
    assert "volume_db" in summarize_model(str(foreign), tflite=True)
    update_model_parameters(str(foreign), params={"x": 1})
    assert not mark.exists()


def test_keras_files_are_summarized_and_their_lambda_code_is_not_run(trained, tmp_path):
    import keras

    for ending in (".keras", ".h5"):
        assert "conv2d" in summarize_model(str(trained.cache / f"models/tiny_v1/tiny_v1{ending}"))
    mark = tmp_path / "mark"
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.Lambda(lambda x, path=str(mark): (Path(path).touch(), x)[1])]
    )
    mark.unlink()
    for ending in (".keras", ".h5"):
        network.save(tmp_path / f"evil{ending}")
        with pytest.raises(FileFormatError, match="Python code"):
            summarize_model(str(tmp_path / f"evil{ending}"))
        assert not mark.exists()


def parameters(path) -> TfliteModelParameters:
    return TfliteModelParameters.load_from_tflite_file(path)


def test_update_of_a_file_changes_the_parameters_and_nothing_else(trained):
    path = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    before = TfliteModel.load_flatbuffer_file(path)
    old = parameters(path)
    update_model_parameters(str(path), params={"volume_db": -3.5, "new": "x"}, description="changed")
    after = TfliteModel.load_flatbuffer_file(path)
    new = parameters(path)
    assert after.description == "changed"
    assert (new["volume_db"], new["new"]) == (-3.5, "x")
    assert new["hash"] != old["hash"]
    assert {k: v for k, v in new.items() if k not in ("volume_db", "new", "hash", "date")} == {
        k: v for k, v in old.items() if k not in ("volume_db", "hash", "date")
    }
    for a, b in zip(before.tensors, after.tensors, strict=True):
        assert bytes(a.data) == bytes(b.data)


def test_update_may_write_elsewhere(trained):
    path = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    before = path.read_bytes()
    assert update_model_parameters(str(path), params={"a": 1}, output="there.tflite") == "there.tflite"
    assert parameters("there.tflite")["a"] == 1
    assert path.read_bytes() == before


def test_update_of_an_archive_changes_both_tflite_files(trained):
    archive = trained.work / "tiny_v1.mltk.zip"
    update_model_parameters(str(archive), params={"a": 1})
    for name in ("tiny_v1.tflite", "tiny_v1.float32.tflite"):
        assert TfliteModelParameters.load_from_tflite_flatbuffer(ModelArchive(archive).read(name))["a"] == 1


def test_update_from_the_specification_takes_its_values_anew(trained):
    spec = trained.work / "tiny_v1.py"
    spec.write_text(
        spec.read_text()
        .replace('["volume_db"] = 5.0', '["volume_db"] = 9.0')
        .replace("version = 3", "version = 4")
    )
    path = update_model_parameters("tiny_v1", params={"extra": True})
    new = parameters(path)
    assert (new["volume_db"], new["version"], new["extra"]) == (9.0, 4, True)
    assert (
        TfliteModelParameters.load_from_tflite_flatbuffer(
            ModelArchive(trained.work / "tiny_v1.mltk.zip").read("tiny_v1.tflite")
        )
        == new
    )


def test_given_hash_and_date_win(trained):
    path = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    update_model_parameters(str(path), params={"hash": "h", "date": "d"})
    assert (parameters(path)["hash"], parameters(path)["date"]) == ("h", "d")


def test_nothing_to_change_and_bad_values_are_refused(trained):
    path = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    before = path.read_bytes()
    with pytest.raises(SpecificationError, match="Nothing to change"):
        update_model_parameters(str(path))
    with pytest.raises(SpecificationError, match="bad"):
        update_model_parameters(str(path), params={"bad": {"nested": 1}})
    with pytest.raises(SpecificationError, match="no accelerator 'mvp'"):
        update_model_parameters(load_mltk_model("tiny_v1"), accelerator="mvp")
    assert path.read_bytes() == before


def test_command_takes_values_files_and_description(trained, cli):
    Path("p.yaml").write_text("threshold: 0.5\nlabels: [a, b]\n")
    Path("p.json").write_text(json.dumps({"from_json": 1}))
    path = str(trained.cache / "models/tiny_v1/tiny_v1.tflite")
    result = cli.invoke(
        ["update_params", path, "count=3", "gain=2.5", "mode=fast", "-p", "p.yaml", "-d", "Desc"]
    )
    assert result.exit_code == 0, result.stderr
    assert cli.invoke(["update-params", path, "-p", "p.json"]).exit_code == 0
    new = parameters(path)
    assert (new["count"], new["gain"], new["mode"], new["threshold"], new["labels"], new["from_json"]) == (
        3,
        2.5,
        "fast",
        0.5,
        ["a", "b"],
        1,
    )
    assert "count: 3" in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.yaml", "a: [1", "cannot be read"),
        ("p.json", "{", "cannot be read"),
        ("p.json", "[1]", "must hold a mapping"),
    ],
)
def test_bad_parameter_file_is_one_line(trained, cli, name, content, message):
    Path(name).write_text(content)
    result = cli.invoke(["update_params", str(trained.cache / "models/tiny_v1/tiny_v1.tflite"), "-p", name])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A copy of a small file in the working folder."""
    monkeypatch.chdir(tmp_path)
    data = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"
    Path("small.tflite").write_bytes(data.read_bytes())
    return "small.tflite"


def test_the_command_prints_what_changed(small, cli):
    assert "gain: 2.5 (float), new" in cli.invoke(["update-params", small, "gain=2.5"]).stdout
    lines = cli.invoke(["update-params", small, "gain=3", "mode=fast"]).stdout.splitlines()
    assert lines[0] == "Written: small.tflite"
    assert "gain: 3.0 (float), was 2.5 (float)" in lines
    assert "mode: fast (str), new" in lines
    assert not [line for line in lines if line.startswith(("name", "version", "classes"))]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (2.5, "fast", True),
        (2.5, 3, False),
        (2.5, -3.5, False),
        (7, 2.5, True),
        (7, 70_000, False),
        (7, -7, False),
        (True, 1, True),
        ("a", 1, True),
        (["a"], "a", True),
        ([1, 2], [3], False),
    ],
)
def test_a_change_of_type_needs_force(small, before, after, refused):
    update_model_parameters(small, {"it": before})
    content = Path(small).read_bytes()
    if refused:
        with pytest.raises(SpecificationError, match=r"'it' is of the type .* use --force"):
            update_model_parameters(small, {"it": after})
        assert Path(small).read_bytes() == content
    update_model_parameters(small, {"it": after}, force=refused)
    assert parameters(small)["it"] == after


def test_the_summary_as_json_has_layers_counts_and_parameters(small, cli):
    update_model_parameters(small, {"key": b"\x01\xff", "limit": float("inf")})
    result = cli.invoke(["summarize", small, "--json"])
    content = json.loads(result.stdout)
    assert (content["name"], content["precision"]) == ("small", "int8")
    assert content["inputs"][0] | {"name": ""} == {
        "name": "",
        "shape": [1, 12, 12, 1],
        "dtype": "int8",
        "constant": False,
    }
    assert [layer["opcode"] for layer in content["layers"]][1] == "conv_2d"
    assert sum(layer["macs"] for layer in content["layers"]) == content["macs"] > 0
    assert (content["parameters"]["key"], content["parameters"]["limit"]) == ("01ff", None)
    assert content["size"] == Path(small).stat().st_size


def test_a_keras_model_is_described_as_json_too(trained, cli):
    content = json.loads(cli.invoke(["summarize", "tiny_v1", "--json"]).stdout)
    file = trained.cache / "models/tiny_v1/tiny_v1.keras"
    assert json.loads(cli.invoke(["summarize", str(file), "--json"]).stdout) == content
    assert content["macs"] > 0 and content["parameters"] > 0

    assert "Conv2D" in [layer["kind"] for layer in content["layers"]]
    archive = str((trained.work / "tiny_v1.mltk.zip").rename(trained.work / "foreign_v1.mltk.zip"))
    result = cli.invoke(["summarize", archive, "--json"])
    assert result.exit_code == 1 and "--tflite" in result.stderr
