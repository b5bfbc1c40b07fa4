"""The specification in the README, as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_specification_trains(tmp_path, monkeypatch, mltk_cli):
    rng = np.random.default_rng(0)
    for name in ("running", "standing", "walking"):
        (tmp_path / "motion" / name).mkdir(parents=True)
        for i in range(3):
            times = np.arange(300) / 100 + rng.uniform(0, 0.004, 300)
            table = np.column_stack([times, rng.standard_normal((300, 3))])
            np.savetxt(
                tmp_path / "motion" / name / f"{i}.csv",
                table,
                delimiter=",",
                header="time,acc_x,acc_y,acc_z",
                comments="",
            )
    text = re.search(r"```python\n(# @mltk_model.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "motion_v1.py").write_text(text.replace("~/data/motion", str(tmp_path / "motion")))
    monkeypatch.chdir(tmp_path)
    done = mltk_cli.invoke(["train", "motion_v1", "--test"])
    assert done.exit_code == 0, done.stderr
    assert "int8" in done.stdout
