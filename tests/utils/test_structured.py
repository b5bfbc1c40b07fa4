"""JSON and YAML from strangers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mltk.errors import FileFormatError
from mltk.utils.structured import parse_json, parse_yaml, read_json_or_yaml


def levels(line: str) -> str:
    """Return a document each of whose nine levels refers nine times to the one before."""
    return "a: &a {x: 1}\n" + "".join(
        line.format(name=chr(98 + i), below=", ".join([f"*{chr(97 + i)}"] * 9)) for i in range(9)
    )


BOMBS = {
    "references": levels("{name}: &{name} [{below}]\n"),
    "merged": levels("{name}: &{name} {{<<: [{below}]}}\n"),
    "itself": "a: &a [*a]",
    "deep": "[" * 5000,
    "digits": "a: " + "1" * 10_000,
    "month": "a: 2001-99-99",
    "date": "a: !!timestamp x",
    "flag": "a: !!bool x",
    "number": "a: !!int ''",
    "code": "a: !!python/object/apply:os.mkdir [mark]",
    "escape": "a: \x1b[2J",
    "key": "? [a]\n: 1",
    "long": " " * (1 << 20) + "a",
    "encoding": "\xff\xfe\xff",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_yaml_bomb_is_refused_in_one_line(name, private_home):
    with pytest.raises(FileFormatError, match="the file") as caught:
        parse_yaml(BOMBS[name].encode("latin-1"), "the file")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400
    assert not list(private_home.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"a": ' + "1" * 10_000 + "}",
        "",
        '"\xff"',
        " " * (16 << 20) + "1",
    ],
    ids=["lists", "mappings", "digits", "nothing", "encoding", "long"],
)
def test_a_json_bomb_is_refused_in_one_line(text):
    with pytest.raises(FileFormatError, match="the file") as caught:
        parse_json(text.encode("latin-1"), "the file")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


def test_files_are_read_by_their_ending(private_home):
    for name, text in (("a.json", '{"a": 1}'), ("a.yaml", "a: 1"), ("a.txt", "{a: 1}")):
        (private_home / name).write_text(text)
        assert read_json_or_yaml(name) == {"a": 1}
    with pytest.raises(FileFormatError, match=r"a\.yaml\.json cannot be read as JSON"):
        (private_home / "a.yaml.json").write_text("a: 1")
        read_json_or_yaml("a.yaml.json")


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("{}[]&*!?:-,'\"\\ \n\tab01.|>%@`#<~", max_size=60)))
def test_anything_is_read_or_refused_in_one_line(data):
    data = data.encode() if isinstance(data, str) else data
    for parse in (parse_json, parse_yaml):
        try:
            parse(data, "the file")
        except FileFormatError as error:
            assert len(str(error).splitlines()) == 1
