"""The compiler `c-array`, and a C compiler's opinion of what it writes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mltk.core import compile_model
from mltk.errors import SpecificationError
from mltk.tflite import TfliteModel

CONV = Path(__file__).parents[3] / "tests" / "tflite" / "data" / "conv_int8.tflite"
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include "{header}"
int main(void) {{
    fwrite(model, 1, model_size, stdout);
    return (uintptr_t)model % 16 != 0;
}}
"""


def test_header_has_the_bytes_of_the_model(mltk_cli):
    path = Path(shutil.copy(CONV, "conv.tflite"))
    result = mltk_cli.invoke(["compile", path, "-a", "c-array", "--variable", "g_model"])
    assert (result.exit_code, result.stdout) == (0, "Written: conv.c-array.h\n")
    text = Path("conv.c-array.h").read_text()
    size = int(re.search(r"g_model_size = (\d+);", text)[1])
    data = bytes(int(digits, 16) for digits in re.findall(r"0x([0-9a-f]{2}),", text))
    assert (len(data), data) == (size, path.read_bytes())


@pytest.mark.parametrize(
    ("compiler", "options"),
    [("gcc", ["-x", "c", "-std=c99"]), ("gcc", ["-x", "c", "-std=c17"]), ("g++", ["-x", "c++"])],
)
def test_header_compiles(tmp_path, compiler, options):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    header = compile_model(CONV, "c-array", output=tmp_path)
    source = tmp_path / "main.c"
    source.write_text(PROGRAM.format(header=header))
    subprocess.run([compiler, *options, "-Wall", "-Werror", source, "-o", tmp_path / "main"], check=True)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
    assert printed == CONV.read_bytes()


@pytest.mark.parametrize("variable", ["1x", "a b", "x;", "", 7])
def test_variable_must_be_a_name_in_c(variable):
    with pytest.raises(SpecificationError, match="not the name of a variable in C"):
        compile_model(CONV, "c-array", variable=variable)


def test_name_of_the_model_cannot_end_the_comment():
    from mltk_plugin_tflm.c_array import write_array

    model = TfliteModel(CONV.read_bytes(), path="a\\\nint x;.tflite")
    first, second = write_array(model).decode().splitlines()[:2]
    assert first.startswith("// ") and second == "#pragma once"
    assert "\\" not in first
