"""Distillation: a small network learns from a large one."""

import keras
import numpy as np
import pytest

from mltk.keras.models import KnowledgeDistillationModel

RNG = np.random.default_rng(7)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[X[:, :3].argmax(axis=1)]


def _network(activation="softmax", **settings):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation, **settings)])


def _distiller(student=None, teacher=None, **settings):
    keras.utils.set_random_seed(1)
    distiller = KnowledgeDistillationModel(student=student or _network(), teacher=teacher or _network())
    distiller.compile(optimizer=keras.optimizers.Adam(0.05), metrics=["accuracy"], **settings)
    return distiller


def _kl(p, q):
    return float(np.mean(np.sum(p * np.log(p / q), axis=-1)))


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_the_student_takes_over_the_answers_and_the_teacher_keeps_its_weights():
    teacher = _network()
    distiller = _distiller(teacher=teacher, alpha=0.0, temperature=2)
    before = [w.copy() for w in teacher.get_weights()]
    distiller.fit(X, Y, batch_size=20, epochs=60, verbose=0)
    assert np.abs(distiller.student.predict(X, verbose=0) - teacher.predict(X, verbose=0)).max() < 0.05
    for was, is_now in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(was, is_now)


@pytest.mark.parametrize("student_ends_in", ["softmax", None])
@pytest.mark.parametrize("teacher_ends_in", ["softmax", None])
def test_the_losses_are_those_of_the_paper_for_probabilities_and_for_logits(student_ends_in, teacher_ends_in):
    student, teacher = _network(student_ends_in), _network(teacher_ends_in)
    distiller = _distiller(student, teacher, alpha=0.25, temperature=4)
    result = distiller.evaluate(X, Y, batch_size=50, verbose=0, return_dict=True)

    answers, wanted = (X @ w + b for w, b in (student.get_weights(), teacher.get_weights()))
    hard = -np.mean(np.sum(Y * np.log(_softmax(answers)), axis=-1))
    soft = 16 * _kl(_softmax(wanted / 4), _softmax(answers / 4))
    assert result["student_loss"] == pytest.approx(hard, rel=1e-4)
    assert result["distillation_loss"] == pytest.approx(soft, rel=1e-3)
    assert result["loss"] == pytest.approx(0.25 * hard + 0.75 * soft, rel=1e-3)
    assert result["accuracy"] == pytest.approx(np.mean(answers.argmax(axis=1) == Y.argmax(axis=1)))


def test_penalties_of_the_student_count_and_those_of_the_teacher_do_not():
    penalty = keras.regularizers.L2(0.5)
    plain, punished = (
        _distiller(_network(kernel_regularizer=p), _network(kernel_regularizer=penalty))
        for p in (None, penalty)
    )
    punished.set_weights(plain.get_weights())
    losses = [d.evaluate(X, Y, verbose=0, return_dict=True)["loss"] for d in (plain, punished)]
    kernel = plain.student.get_weights()[0]
    assert losses[1] - losses[0] == pytest.approx(0.5 * float(np.sum(kernel**2)), rel=1e-3)


def test_own_losses_validation_and_class_weights_work():
    distiller = _distiller(
        student_loss_fn=keras.losses.CategoricalCrossentropy(),
        distillation_loss_fn=keras.losses.KLDivergence(),
    )
    history = distiller.fit(
        X, Y, epochs=2, verbose=0, validation_data=(X, Y), class_weight={0: 1.0, 1: 2.0, 2: 1.0}
    ).history
    assert {"val_student_loss", "val_distillation_loss", "val_accuracy", "student_loss"} <= set(history)
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), distiller.student.predict(X, verbose=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, "alpha must be 0 to 1, not 1.5"),
        ({"temperature": 0}, "temperature must be above 0, not 0"),
    ],
    ids=["alpha", "temperature"],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _distiller(**settings)


def test_a_training_saves_the_student(load_spec):
    from mltk.core import train_model
    from mltk.core.keras import load_keras_model

    model = load_spec("distilled_v1")
    build = model.build_model_function

    def distiller(mltk_model):
        network = KnowledgeDistillationModel(student=build(mltk_model), teacher=build(mltk_model))
        network.compile("adam", ["accuracy"])
        return network

    model.build_model_function = distiller
    results = train_model(model, epochs=1, quantize=False)
    assert isinstance(results.keras_model.layers[0], keras.layers.Conv2D)
    saved = load_keras_model(model.keras_log_dir_path)
    assert saved.count_params() == results.keras_model.count_params()
    x = RNG.normal(size=(2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(
        saved.predict(x, verbose=0), results.keras_model.predict(x, verbose=0), atol=1e-6
    )


def test_models_inside_a_model_have_the_names_that_specifications_for_keras_2_look_for():
    from mltk.keras.old_names import name_inner_models

    def tower(**settings):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(2)(inputs), **settings)

    x = keras.Input((4,))
    towers = [tower(), tower(name="named"), tower(), tower(name="model_1")]
    outer = keras.Model(x, keras.layers.Add()([t(x) for t in towers]))
    name_inner_models(outer)
    assert [t.name for t in towers] == ["model", "named", "model_2", "model_1"]
    assert outer.get_layer("model") is towers[0]
    assert keras.Model.from_config(outer.get_config()).get_layer("model_2").output.shape == (None, 2)
