import pytest

from mltk.utils.string_formatting import format_table, format_units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (1000, "1 k"),
        (1234567, "1.235 M"),
        (-1500, "-1.5 k"),
        (999_999_999, "1 G"),
        (2.5e12, "2.5 T"),
        (3e16, "30000 T"),
        (0.5, "500 m"),
        (0.000_002, "2 u"),
        (4e-9, "4 n"),
        (5e-12, "5 p"),
        (5e-15, "0.005 p"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_get_an_si_letter(value, text):
    assert format_units(value) == text


def test_precision_and_space_can_be_chosen():
    assert format_units(1234567, precision=1) == "1.2 M"
    assert format_units(1500, precision=0, add_space=False) == "2k"
    assert format_units(100, precision=0) == "100"


def test_tables_are_aligned_and_cells_may_have_several_lines():
    assert format_table(["a", "long"], [["1\n22", "x"]]).splitlines() == [
        "+----+------+",
        "| a  | long |",
        "+----+------+",
        "| 1  | x    |",
        "| 22 |      |",
        "+----+------+",
    ]
