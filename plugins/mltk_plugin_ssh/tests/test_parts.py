"""What `mltk ssh` does before it connects, and with what comes back."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mltk.errors import FileFormatError, MltkError, SpecificationError
from mltk.utils.model_archive import ModelArchive
from mltk.utils.temporary import temporary_folder
from mltk_plugin_ssh._settings import Settings, Target, gather_settings
from mltk_plugin_ssh._transfer import (
    check_archive,
    check_downloads,
    find_uploads,
    holds_specification,
    is_asked_for,
    read_tar,
    replace_entries,
    write_tar,
)


class Model:
    """A model with the mixin's properties."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update({f"ssh_{name}": value for name, value in values.items()})


def gather(host="gpu", model=None, port=None, key=None, **section):
    return gather_settings(section, model, host, port, key)


@pytest.mark.parametrize(
    ("text", "target", "folder"),
    [
        ("gpu", Target("gpu"), "mltk-ssh"),
        ("ann@gpu.example.org:2222", Target("gpu.example.org", "ann", 2222), "mltk-ssh"),
        ("ann@10.0.0.7/work", Target("10.0.0.7", "ann"), "work"),
        ("gpu:22//data/ann", Target("gpu", port=22), "/data/ann"),
        ("[::1]:22", Target("::1", port=22), "mltk-ssh"),
    ],
    ids=["name", "user and port", "folder", "absolute folder", "IPv6"],
)
def test_host_names_everything(text, target, folder):
    found = gather(text)
    assert (found.target, found.folder) == (target, folder)


@pytest.mark.parametrize("text", ["-oProxyCommand=touch x", "ann@-x", "gpu:port", "a b@c@d", "/work"])
def test_host_that_is_none_is_refused(text):
    with pytest.raises(MltkError, match=r"does not have the form"):
        gather(text)


@given(st.text())
@settings(max_examples=300)
def test_host_is_never_an_option_of_ssh(text):
    try:
        target = gather(text).target
    except MltkError:
        return
    assert not target.host.startswith("-")
    assert not (target.user or "").startswith("-")


def test_command_line_goes_before_specification_before_settings_file():
    section = {
        "connection": {"hostname": "gpu", "port": 2222, "username": "ann", "key_filename": "~/k"},
        "remote_dir": "from_file",
        "create_venv": True,
        "environment": ["A=1", "B='two words'"],
        "startup_cmds": ["first"],
        "upload_files": ["a.txt"],
    }
    model = Model(remote_dir="own", environment={"B": 2, "C": None}, startup_cmds=["second"])
    found = gather(host=None, model=model, **section)
    assert found.target == Target("gpu", "ann", 2222, "~/k")
    assert found.folder == "own"
    assert found.create_venv
    assert found.environment == {"A": "1", "B": "2", "C": ""}
    assert list(found.startup) == ["first", "second"]
    assert list(found.upload) == ["a.txt"]
    # Another machine on the command line: nothing of the one in the file.
    other = gather(host="cpu/there", model=model, port=22, **section)
    assert other.target == Target("cpu", port=22)
    assert other.folder == "there"
    assert not gather(model=Model(create_venv=False), **section).create_venv


def test_environment_variable_without_value_has_that_of_here(monkeypatch):
    monkeypatch.setenv("MLTK_TEST_VARIABLE", "here")
    monkeypatch.delenv("MLTK_TEST_ABSENT", raising=False)
    model = Model(environment=["MLTK_TEST_VARIABLE", "MLTK_TEST_ABSENT"])
    assert gather(model=model).environment == {"MLTK_TEST_VARIABLE": "here"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"startup_cmd": []}, r"'ssh\.startup_cmd', which is not a setting\. Did you mean 'startup_cmds'"),
        ({"connection": {"host": "x"}}, r"'ssh\.connection\.host'.*Did you mean 'hostname'"),
        ({"connection": {"password": "secret"}}, r"Passwords are not allowed in files"),
        ({"connection": {"port": "x"}}, r"port' in the settings file must be an integer"),
        ({"connection": []}, None),
        ({"upload_files": "a"}, r"must be a list of strings"),
        ({"environment": "A=1"}, r"must be a mapping, or a list"),
        ({"environment": ["A B=1"]}, r"'A B' in ssh_environment is not a valid name"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(section, message):
    if message is None:
        assert isinstance(gather(**section), Settings)
        return
    with pytest.raises(MltkError, match=message):
        gather(**section)


def test_no_host_at_all():
    with pytest.raises(MltkError, match=r"-h HOST"):
        gather(host=None)


def read(*arguments):
    from mltk.cli.main import root_cli
    from mltk_plugin_ssh._command import read_command
    from mltk_plugin_ssh.cli.ssh_cmd import ssh_command

    with (
        click.Context(root_cli, info_name="mltk") as root,
        click.Context(ssh_command, parent=root) as context,
    ):
        return read_command(context, arguments)


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "specs").mkdir()
    path = tmp_path / "specs" / "best.py"
    path.write_text("# @mltk_model\n")
    monkeypatch.setenv("MLTK_MODEL_PATHS", str(path.parent))
    return path


def test_model_is_found_among_the_arguments(spec):
    # Weights may be called like the model.
    found = read("train", "-w", "best", "best", "--test")
    assert found.arguments == ("train", "-w", "best", "best.py", "--test")
    assert (found.script, found.test, found.shown) == (spec, True, "train -w best best --test")
    assert read("evaluate", "--tflite", "specs/best.py").arguments == ("evaluate", "--tflite", "best.py")
    trial = read("quantize", "best-test")
    assert (trial.arguments, trial.test) == (("quantize", "best-test"), True)
    custom = read("custom", "best", "show", "--text", "a b")
    assert custom.arguments == ("custom", "best.py", "show", "--text", "a b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "best", "--no-wait"], r"must come before the command: mltk ssh --no-wait … train …"),
        (["plugins", "list"], r"not 'plugins'"),
        (["ssh", "train", "best"], r"not 'ssh'"),
        (["train", "bset"], r"Did you mean 'best'"),
        (["train", "specs/none.py"], r"There is no file specs/none\.py"),
        (["summarize", "specs/best.tflite"], r"needs the model's specification"),
    ],
    ids=str,
)
def test_command_that_cannot_run_there_is_refused(spec, arguments, message):
    spec.with_suffix(".tflite").write_bytes(b"")
    with pytest.raises(MltkError, match=message):
        read(*arguments)


def test_wrong_options_of_the_command_are_refused_here(spec):
    with pytest.raises(click.UsageError, match=r"--epocs"):
        read("train", "best", "--epocs", "3")
    with pytest.raises(click.UsageError, match=r"No such command 'trian'"):
        read("trian", "best")


def test_uploads_are_the_specification_patterns_pairs_and_archive(tmp_path):
    script = tmp_path / "a.py"
    for name in ("a.py", "data/x.csv", "data/deep/y.csv", "note.txt", "a.mltk.zip"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    upload = find_uploads(
        script,
        ["data/**/*.csv", "note.txt|./notes/n.txt", "note.txt|~/n.txt", "note.txt|/n.txt"],
        tmp_path / "a.mltk.zip",
    )
    assert set(upload.work) == {"a.py", "data/x.csv", "data/deep/y.csv", "notes/n.txt", "a.mltk.zip"}
    assert set(upload.elsewhere) == {"~/n.txt", "/n.txt"}
    assert upload.size == sum(len(p.read_text()) for p in [*upload.work.values(), *upload.elsewhere.values()])


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "~/x", "", "missing.txt", "missing.txt|x"])
def test_uploads_stay_in_the_folder_and_exist(tmp_path, pattern):
    (tmp_path / "a.py").touch()
    with pytest.raises(SpecificationError, match=r"ssh_upload_files names"):
        find_uploads(tmp_path / "a.py", [pattern], None)


def test_downloads_stay_in_the_folder():
    assert check_downloads(["a/*.txt", "/var/x|y"]) == (["a/*.txt"], {"/var/x": "y"})
    for pattern in ("../x", "/etc/passwd", "a/../../b"):
        with pytest.raises(SpecificationError, match=r"ssh_download_files names"):
            check_downloads([pattern])


names = st.lists(
    st.text("ab.", min_size=1, max_size=3).filter(lambda t: t.strip(".")), min_size=1, max_size=3
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.dictionaries(names.map("/".join), st.text(max_size=2000), max_size=5))
def test_files_come_back_as_they_were_sent(tmp_path_factory, contents):
    contents = {n: t for n, t in contents.items() if not any(m.startswith(f"{n}/") for m in contents)}
    stream = io.BytesIO()
    write_tar(stream, {}, contents)
    stream.seek(0)
    folder = tmp_path_factory.mktemp("tar")
    paths = read_tar(io.BufferedReader(stream), folder)
    assert {p.as_posix(): (folder / p).read_bytes().decode() for p in paths} == contents


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_file_that_leaves_the_folder_is_refused(tmp_path, name):
    stream = io.BytesIO()
    write_tar(stream, {}, {name: "x"})
    stream.seek(0)
    with pytest.raises(FileFormatError, match="unsafe name"):
        read_tar(io.BufferedReader(stream), tmp_path)


def test_links_do_not_come_back(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    stream.seek(0)
    assert read_tar(io.BufferedReader(stream), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_and_garbage_are_told_apart(tmp_path):
    assert read_tar(io.BufferedReader(io.BytesIO()), tmp_path) == []
    with pytest.raises(FileFormatError, match="damaged"):
        read_tar(io.BufferedReader(io.BytesIO(b"garbage" * 200)), tmp_path)


def test_entries_take_their_places_and_others_stay(tmp_path):
    target = tmp_path / "logs"
    (target / "train" / "old").mkdir(parents=True)
    (target / "other").mkdir()
    (target / "a.txt").write_text("old")
    with temporary_folder(target) as new, temporary_folder(target) as old:
        (new / "train").mkdir()
        (new / "train" / "new.txt").touch()
        (new / "a.txt").write_text("new")
        replace_entries(target, new, old)
    found = {p.relative_to(target).as_posix() for p in target.rglob("*")}
    assert found == {"train", "train/new.txt", "other", "a.txt"}
    assert (target / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["logs"]


def test_archive_is_checked_to_its_last_member(tmp_path):
    path = tmp_path / "m.mltk.zip"
    ModelArchive(path).update({"m.py": b"x" * 1000, "z": b"y" * 1000})
    check_archive(path, ["m.py"])
    with pytest.raises(FileFormatError, match=r"does not contain 'n\.py'"):
        check_archive(path, ["n.py"])
    content = bytearray(path.read_bytes())
    content[content.index(b"z") + 3] ^= 0xFF  # within the compressed data of the last member
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        check_archive(path, ["m.py"])


@pytest.mark.parametrize(
    ("path", "patterns", "asked"),
    [
        ("report_1.txt", ["report*.txt"], True),
        ("sub/report.txt", ["report*.txt", "*"], True),
        ("sub/report.txt", ["report*.txt"], False),
        ("a/b/c.txt", ["**/*.txt"], True),
        ("c.txt", ["**/*.txt"], True),
        ("a/.ssh/c.txt", ["**/*.txt"], False),
        (".bashrc", ["*"], False),
        (".bashrc", [".bashrc"], True),
        ("results/deep/.hidden", ["results"], True),
        ("other.txt", ["results"], False),
        ("m.py", ["*"], False),
        ("m.py", ["*.py", "m.p?"], False),
        ("sub/conftest.PY", ["sub"], False),
        ("lib/fast.so", ["lib/**"], False),
        ("generated.py", ["generated.py"], True),
    ],
)
def test_only_what_was_asked_for_comes_back_and_code_only_by_name(path, patterns, asked):
    assert is_asked_for(Path(path), patterns) is asked


def test_code_in_the_log_folder_is_neither_brought_nor_lost(tmp_path):
    new, old, target = tmp_path / "new", tmp_path / "old", tmp_path / "target"
    for path, text in {
        "new/m.py": "foreign",
        "new/train/log.txt": "new",
        "new/pkg/helper.py": "foreign",
        "new/pkg/data.txt": "new",
        "target/m.py": "own",
        "target/pkg/helper.py": "own",
        "target/pkg/more.py": "own",
        "target/train/log.txt": "old",
        "old/.keep": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    replace_entries(target, new, old)
    kept = {p.relative_to(target).as_posix(): p.read_text() for p in target.rglob("*") if p.is_file()}
    assert kept == {
        "m.py": "own",
        "pkg/helper.py": "own",
        "pkg/more.py": "own",
        "pkg/data.txt": "new",
        "train/log.txt": "new",
    }


def test_another_specification_in_the_archive_is_noticed(tmp_path):
    script = tmp_path / "m.py"
    script.write_text("from __future__ import annotations\nx = 1\n")
    archive = tmp_path / "m.mltk.zip"
    own = b"from __future__ import annotations\n\n__mltk_version__ = '0.1'\nx = 1\n"
    ModelArchive(archive).update({"m.py": own})
    assert holds_specification(archive, script)
    ModelArchive(archive).update({"m.py": own + b"import os\n"})
    assert not holds_specification(archive, script)


def test_key_pair_is_made_and_never_overwritten(tmp_path, mltk_cli):
    folder = tmp_path / "keys"
    result = mltk_cli.invoke(["ssh-keygen", "board", "-o", folder])
    assert result.exit_code == 0, result.stderr
    public = (folder / "id_board.pub").read_text().strip()
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" board")
    assert public in result.stdout
    assert (folder / "id_board").stat().st_mode & 0o077 == 0
    again = mltk_cli.invoke(["ssh-keygen", "board", "-o", folder])
    assert again.exit_code == 1
    assert "already" in again.stderr
    assert (folder / "id_board.pub").read_text().strip() == public
    assert mltk_cli.invoke(["ssh-keygen", "../x", "-o", folder]).exit_code == 1


def test_length_is_that_of_rsa_keys(tmp_path, mltk_cli):
    assert mltk_cli.invoke(["ssh-keygen", "old", "-t", "rsa", "-l", "2048", "-o", tmp_path]).exit_code == 0
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "id_old.pub"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[0] == "2048"


def test_mixin_refuses_wrong_types(tmp_path):
    from mltk.core import MltkModel, SshMixin

    class MyModel(MltkModel, SshMixin):
        pass

    model = MyModel(tmp_path / "m.py")
    assert model.ssh_create_venv is None
    with pytest.raises(
        SpecificationError, match=r"my_model\.ssh_startup_cmds must be a list of strings; 3 is"
    ):
        model.ssh_startup_cmds = ["a", 3]
    with pytest.raises(SpecificationError, match=r"ssh_remote_dir must be str"):
        model.ssh_remote_dir = Path("x")


def test_password_is_asked_for_on_a_terminal_only(mltk_cli, spec):
    spec.write_text("# @mltk_model\nfrom mltk.core import MltkModel\nmy_model = MltkModel()\n")
    result = mltk_cli.invoke(["ssh", "--password", "-h", "127.0.0.1", "train", str(spec)])
    assert result.exit_code == 1
    assert "--password needs a terminal" in result.stderr


def test_resume_and_force_exclude_each_other(mltk_cli, spec):
    result = mltk_cli.invoke(["ssh", "--resume", "--force", "-h", "x", "train", str(spec)])
    assert result.exit_code == 1
    assert "--resume continues a command" in result.stderr
