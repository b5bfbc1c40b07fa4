"""`my_model.ship_weights`: which weights are saved, quantized and evaluated."""

import json
import re

import numpy as np
import pytest

from mltk.core import load_mltk_model, train_model
from mltk.errors import SpecificationError
from mltk.keras import load_keras_model
from mltk.utils.model_archive import ModelArchive

# It gets worse after the second epoch, on purpose.
WORSE = """
my_model.checkpoint["monitor"] = "val_loss"
my_model.lr_schedule = lambda epoch, rate: 0.001 if epoch < 2 else 0.3
"""


def test_best_weights_are_saved_quantized_and_evaluated(cli, write_spec, private_home):
    write_spec("best_v1", more=WORSE + "my_model.ship_weights = 'best'\n")
    result = cli.invoke(["train", "best_v1", "--epochs", "4"])
    assert result.exit_code == 0
    assert re.search(r"^Weights +epoch 2 of 4, val_accuracy ", result.stdout, re.MULTILINE)
    model = load_mltk_model("best_v1")
    archive = ModelArchive(private_home / "best_v1.mltk.zip")
    network = load_keras_model(model.keras_archive_path)
    _, _, (x, y) = model.dataset("training")
    accuracy = float(np.mean(np.argmax(network.predict(x, verbose=0), -1) == np.argmax(y, -1)))
    history = json.loads(archive.read("train/training-history.json"))["history"]
    assert history["val_accuracy"][1] == pytest.approx(accuracy)
    assert history["val_accuracy"][1] > history["val_accuracy"][3] + 0.05
    for kind in ("h5", "tflite"):
        found = json.loads(archive.read(f"eval/{kind}/eval-results.json"))["overall_accuracy"]
        assert found == pytest.approx(accuracy, abs=0.03)
    assert json.loads(archive.read("train/provenance.json"))["weights"] == {"epoch": 2, "chosen": "best"}


def test_last_weights_are_the_default_and_the_summary_says_what_they_cost(cli, write_spec):
    write_spec("last_v1", more=WORSE)
    result = cli.invoke(["train", "last_v1", "--epochs", "4", "--no-evaluate"])
    assert re.search(r"^Weights +epoch 4 of 4, val_accuracy .*; the best was ", result.stdout, re.MULTILINE)


def test_weights_that_early_stopping_restored_are_named(load_spec):
    model = load_spec("stopped_v1", more=WORSE)
    model.early_stopping = {"monitor": "val_loss", "patience": 1, "restore_best_weights": True}
    results = train_model(model, epochs=6, quantize=False)
    assert results.shipped_epoch == 2
    assert results.describe_weights().startswith(f"epoch 2 of {len(results.epochs)}, ")


def test_without_best_weights_the_last_are_shipped_and_it_is_said(load_spec, caplog):
    model = load_spec("none_v1", more="my_model.ship_weights = 'best'\nmy_model.checkpoint = None\n")
    import logging

    logger = logging.getLogger("mltk")
    logger.addHandler(caplog.handler)
    try:
        assert train_model(model, epochs=1, quantize=False).shipped_epoch == 1
    finally:
        logger.removeHandler(caplog.handler)
    assert "The last weights are shipped" in caplog.text
    with pytest.raises(SpecificationError, match="must be 'best' or 'last'"):
        model.ship_weights = "first"
