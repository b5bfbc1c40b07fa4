"""Keras models with a training of their own. This module imports Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras  # noqa: TID253 - the class derives from Keras'

Loss = Callable[..., Any]


class KnowledgeDistillationModel(keras.Model):
    """Trains a small model, the student, to answer as a large one, the teacher, does.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv:1503.02531). The loss is
    `alpha` times that of the student's answers, plus `1 - alpha` times that between the softened answers of both; the
    metrics `student_loss` and `distillation_loss` report the two. Called, it answers as the student, and a training
    saves the student.

    Args:
        student: The model to train.
        teacher: A trained model with the same inputs and outputs; it is frozen.
        kwargs: As of every Keras model.

    Answers may be logits, or probabilities from a softmax at the end of the model.
    """

    def __init__(self, student: keras.Model, teacher: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.student = student
        self.teacher = teacher
        teacher.trainable = False
        self.student_loss_fn: Loss | None = None
        self.distillation_loss_fn: Loss | None = None
        self.alpha = 0.1
        self.temperature = 3.0
        self._student_loss = keras.metrics.Mean(name="student_loss")
        self._distillation_loss = keras.metrics.Mean(name="distillation_loss")

    def compile(
        self,
        optimizer: Any,
        metrics: Any = None,
        student_loss_fn: Loss | None = None,
        distillation_loss_fn: Loss | None = None,
        alpha: float = 0.1,
        temperature: float = 3,
        **kwargs: Any,
    ) -> None:
        """Configure the training.

        Args:
            optimizer: As of every Keras model.
            metrics: Of the student's answers.
            student_loss_fn: Loss of the student's answers; `None` for categorical cross-entropy.
            distillation_loss_fn: Loss between the softened answers of teacher and student, both probabilities;
                `None` for the Kullback-Leibler divergence.
            alpha: Weight of the student's loss, 0 to 1.
            temperature: How much answers are softened; above 0, and 1 for not at all.
            kwargs: Further arguments of `keras.Model.compile`.

        Raises:
            ValueError: `alpha` or `temperature` is out of range.
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be 0 to 1, not {alpha}.")
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {temperature}.")
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)
        self.student_loss_fn = student_loss_fn or keras.losses.CategoricalCrossentropy(
            from_logits=not _ends_in_softmax(self.student)
        )
        self.distillation_loss_fn = distillation_loss_fn or keras.losses.KLDivergence()
        self.alpha = alpha
        self.temperature = temperature

    def build(self, input_shape: Any) -> None:
        """Do nothing: student and teacher are built."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's answers."""
        return self.student(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch, and count its parts in the metrics."""
        assert self.student_loss_fn is not None and self.distillation_loss_fn is not None
        student_loss = self.student_loss_fn(y, y_pred, sample_weight)
        # The square keeps the size of the gradients when the temperature changes (section 2 of the paper).
        distillation_loss = self.temperature**2 * self.distillation_loss_fn(
            self._soften(self.teacher(x, training=False), self.teacher), self._soften(y_pred, self.student)
        )
        batch_size = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        self._student_loss.update_state(student_loss, sample_weight=batch_size)
        self._distillation_loss.update_state(distillation_loss, sample_weight=batch_size)
        return self.alpha * student_loss + (1 - self.alpha) * distillation_loss + sum(self.losses)

    def _soften(self, answers: Any, model: keras.Model) -> Any:
        if _ends_in_softmax(model):
            # Logarithms of probabilities are logits.
            answers = keras.ops.log(keras.ops.maximum(answers, keras.config.epsilon()))
        return keras.ops.softmax(answers / self.temperature, axis=-1)


def model_to_save(keras_model: keras.Model) -> keras.Model:
    """Return the student of a `KnowledgeDistillationModel`, and any other model as it is."""
    return keras_model.student if isinstance(keras_model, KnowledgeDistillationModel) else keras_model


def _ends_in_softmax(model: keras.Model) -> bool:
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return _ends_in_softmax(last)
    return (
        isinstance(last, keras.layers.Softmax)
        or getattr(last, "activation", None) is keras.activations.softmax
    )
