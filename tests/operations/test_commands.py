import logging
from pathlib import Path

import pytest

from mltk.utils.model_archive import ModelArchive

CUSTOM = """
import typer

@my_model.cli.command("visualize")
def visualize(
    name: str = typer.Argument("world"),
    count: int = typer.Option(1, "--count", "-c", help="How often"),
):
    "Say hello"
    for _ in range(count):
        print(f"hello {name} from {my_model.name}")
"""


def test_train_command_trains_evaluates_and_says_where_everything_is(write_spec, cli, private_home):
    write_spec()
    result = cli.invoke(["train", "tiny_v1", "--epochs", "1", "--seed", "3"])
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Epoch 1/1")
    summary = {line.split()[0]: line for line in lines if line and not line.startswith("Epoch")}
    assert "accuracy on 599 samples" in summary["Float"]
    assert "accuracy on 599 samples" in summary["int8"]
    assert summary["Archive"].endswith(str(private_home / "tiny_v1.mltk.zip"))
    assert "eval/tflite/eval-results.json" in ModelArchive(private_home / "tiny_v1.mltk.zip").names()


def test_train_says_how_the_tflite_is_quantized(write_spec, cli):
    path = write_spec()
    path.write_text(path.read_text() + 'my_model.tflite_converter = {"optimizations": ["DEFAULT"]}\n')
    result = cli.invoke(["train", "tiny_v1", "--epochs", "1"])
    assert result.exit_code == 0, result.stderr
    assert "\ndynamic-range  " in result.stdout
    assert "int8" not in result.stdout


def test_train_may_leave_out_the_evaluation(write_spec, cli, private_home):
    write_spec()
    assert cli.invoke(["train", "tiny_v1", "--epochs", "1", "--no-evaluate"]).exit_code == 0
    assert not [n for n in ModelArchive(private_home / "tiny_v1.mltk.zip").names() if n.startswith("eval/")]


def test_failed_evaluation_after_training_is_an_error_but_everything_is_kept(write_spec, cli, private_home):
    path = write_spec()
    text = path.read_text().replace("def load(", "def load_all(").replace("my_model.dataset = load\n", "")
    path.write_text(text + BROKEN_EVALUATION)
    result = cli.invoke(["train", "tiny_v1", "--epochs", "1"])
    assert result.exit_code == 1
    assert "trained and kept" in result.stderr
    assert "nothing to evaluate" in result.stderr
    assert "Archive" in result.stdout
    assert "tiny_v1.tflite" in ModelArchive(private_home / "tiny_v1.mltk.zip").names()


BROKEN_EVALUATION = """
from mltk.errors import DatasetError

def load(subset, test=False, **kwargs):
    if subset == "evaluation":
        raise DatasetError("nothing to evaluate")
    return load_all(subset, test)

my_model.dataset = load
"""


def test_resume_and_clean_exclude_each_other(trained, cli):
    result = cli.invoke(["train", "tiny_v1", "--resume", "--clean"])
    assert result.exit_code == 1
    assert "--resume" in result.stderr


def test_quantize_command_prints_the_summary(trained, cli):
    result = cli.invoke(["quantize", "tiny_v1", "-o", "x.tflite"])
    assert result.exit_code == 0, result.stderr
    assert "Total MACs" in result.stdout
    assert Path("x.tflite").is_file()


def test_evaluate_command_prints_the_results(trained, cli):
    result = cli.invoke(["evaluate", "tiny_v1", "--tflite", "--count", "10"])
    assert result.exit_code == 0, result.stderr
    assert "Overall accuracy" in result.stdout


def test_summarize_command_writes_a_file(trained, cli):
    assert cli.invoke(["summarize", "tiny_v1", "--tflite", "-o", "s.txt"]).exit_code == 0
    assert "Total MACs" in Path("s.txt").read_text()


def test_archive_asks_before_its_specification_runs(trained, cli):
    (trained.work / "tiny_v1.mltk.zip").rename(trained.work / "other.mltk.zip")
    archive = ModelArchive(trained.work / "other.mltk.zip")
    archive.update({n.replace("tiny_v1", "other"): archive.read(n) for n in archive.names()}, remove=[""])
    refused = cli.invoke(["evaluate", "other.mltk.zip", "--tflite"])
    assert refused.exit_code == 1
    assert "--trust" in refused.stderr
    assert cli.invoke(["evaluate", "other.mltk.zip", "--tflite", "--trust"]).exit_code == 0


def test_command_of_a_specification_runs_with_its_arguments(write_spec, cli):
    write_spec(more=CUSTOM)
    result = cli.invoke(["custom", "tiny_v1", "visualize", "you", "--count", "2"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "hello you from tiny_v1\n" * 2


def test_commands_of_a_specification_are_listed(write_spec, cli):
    write_spec(more=CUSTOM)
    result = cli.invoke(["custom", "tiny_v1"])
    assert result.exit_code == 0, result.stderr
    assert "visualize" in result.stdout


def test_specification_without_commands_says_how_to_add_one(write_spec, cli):
    write_spec()
    result = cli.invoke(["custom", "tiny_v1", "x"])
    assert result.exit_code == 1
    assert "@my_model.cli.command" in result.stderr


def test_unknown_command_of_a_specification_is_a_usage_error(write_spec, cli):
    write_spec(more=CUSTOM)
    result = cli.invoke(["custom", "tiny_v1", "visualise"])
    assert result.exit_code == 2
    assert "visualise" in result.stderr


@pytest.mark.parametrize("command", ["train", "quantize", "evaluate", "summarize", "update_params", "custom"])
def test_unknown_model_is_one_line_with_near_matches(write_spec, cli, command):
    write_spec()
    result = cli.invoke([command, "tiny_v2"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "Did you mean 'tiny_v1'" in result.stderr


def test_logging_of_the_user_is_left_alone(trained, cli):
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    assert cli.invoke(["quantize", "tiny_v1", "-o", "x.tflite"]).exit_code == 0
    assert (list(root.handlers), root.level) == before
