"""What the fuzzer once found, and what of it everyone can try: sound inputs that are damaged at random."""

import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
TARGETS = runpy.run_path(str(HERE / "targets.py"))
CALL, SEEDS, NAMES = TARGETS["call"], TARGETS["seeds"], list(TARGETS["TARGETS"])
FOUND = sorted(path for path in (HERE / "corpus").rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(path):
    CALL(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_input_is_read(name):
    assert TARGETS["TARGETS"][name](SEEDS(name)[0])


@pytest.mark.parametrize("name", NAMES)
def test_damaged_inputs_are_read_or_refused_in_one_line(name):
    seeds = SEEDS(name)

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.data())
    def run(data):
        spoilt = bytearray(data.draw(st.sampled_from(seeds)))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(spoilt)))
            spoilt[place : place + data.draw(st.sampled_from([0, 1, 4]))] = data.draw(st.binary(max_size=4))
        CALL(name, bytes(spoilt))

    run()
