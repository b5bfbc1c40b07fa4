"""Model sources: the name, path or object that the user gave."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import ArchiveFileNotFoundError, ModelNotFoundError, SpecificationError
from mltk.keras.saving import load_keras_model, load_weights
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import archive_path_of
from mltk.model.model import MltkModel
from mltk.plugins import apply_command_options
from mltk.sources.script import load_archived_script, load_script
from mltk.sources.search import find_model_specification_file, model_not_found, split_test_suffix
from mltk.tflite import TfliteModel
from mltk.utils.files import cache_dir
from mltk.utils.model_archive import ARCHIVE_EXTENSION, ModelArchive
from mltk.utils.temporary import kept_temporary_folder

if TYPE_CHECKING:
    import logging

    import keras

_PATH_ENDINGS = (".py", ".zip", ".tflite", ".h5", ".keras")


class SourceKind(StrEnum):
    """Kind of thing that a source is."""

    SPECIFICATION = "specification"
    """A script, or an `MltkModel`."""
    ARCHIVE = "archive"
    """A `.mltk.zip` file without a script beside it."""
    TFLITE = "tflite"
    """A `.tflite` file, or a `TfliteModel`."""
    KERAS = "keras"
    """A `.keras` or `.h5` file, or a `keras.Model`."""


@dataclass(frozen=True)
class ModelSource:
    """The one answer to the question of what the user gave as a model.

    Create it with `ModelSource.of`. Creating it runs no code of the user; only `specification` does, and `keras`
    with `trust`.
    """

    kind: SourceKind
    name: str
    """The model's name."""
    test: bool = False
    """Whether the files of the trial run are meant."""
    path: Path | None = None
    """The script, archive or model file; `None` for an object."""
    model: MltkModel | None = None
    """The specification that was given as an object."""
    built: TfliteModel | keras.Model | None = None
    """The `TfliteModel` or `keras.Model` that was given as an object."""

    @classmethod
    def of(
        cls, given: MltkModel | TfliteModel | keras.Model | ModelSource | str | Path, test: bool = False
    ) -> ModelSource:
        """Find out what `given` is.

        Args:
            given: A model's name (with `-test` for the trial run), a path, or an object.
            test: Use the files of the trial run.

        Raises:
            ModelNotFoundError: There is no such file or model.
            SpecificationError: The file is of no kind that mltk knows.
        """
        if isinstance(given, ModelSource):
            return replace(given, test=given.test or test)
        if isinstance(given, MltkModel):
            test = test or given.test_mode_enabled
            return cls(SourceKind.SPECIFICATION, given.name, test, model=given)
        if isinstance(given, TfliteModel):
            return cls(SourceKind.TFLITE, given.name, test, built=given)
        keras = sys.modules.get("keras")
        if keras is not None and isinstance(given, keras.Model):
            return cls(SourceKind.KERAS, given.name, test, built=given)
        text = str(given)
        if not is_path(text):
            name, suffix = split_test_suffix(text)
            found = find_model_specification_file(name, test=test or suffix)
            if found is None:
                raise model_not_found(name)
            return replace(cls._of_file(Path(found)), name=name, test=test or suffix)
        if not Path(text).is_file():
            raise ModelNotFoundError(f"There is no file {text}.")
        source = cls._of_file(Path(text))
        return replace(source, test=source.test or test)

    @classmethod
    def _of_file(cls, path: Path) -> ModelSource:
        if path.name.endswith(ARCHIVE_EXTENSION):
            name, test = split_test_suffix(path.name.removesuffix(ARCHIVE_EXTENSION))
            return cls(SourceKind.ARCHIVE, name, test, path)
        kinds = {
            ".py": SourceKind.SPECIFICATION,
            ".tflite": SourceKind.TFLITE,
            ".keras": SourceKind.KERAS,
            ".h5": SourceKind.KERAS,
        }
        if path.suffix not in kinds:
            raise SpecificationError(
                f"{path} is not a model specification: give a .py or a {ARCHIVE_EXTENSION} file."
            )
        return cls(kinds[path.suffix], path.stem, False, path)

    def __str__(self) -> str:
        return str(self.path or self.name)

    @property
    def is_model_file(self) -> bool:
        """True for a bare `.tflite` or Keras model, which has no specification."""
        return self.kind in (SourceKind.TFLITE, SourceKind.KERAS)

    def specification(
        self,
        trust: bool = False,
        reload: bool = True,
        logger: logging.Logger | None = None,
        purpose: str = "used here",
    ) -> MltkModel:
        """Return the model specification; runs its code.

        Args:
            trust: Allow the specification in an archive to run.
            reload: Run a script again that was run before.
            logger: Passed to event handlers.
            purpose: What the model cannot be without a specification, for the message.

        Raises:
            SpecificationError: There is none, it fails, or it does not create exactly one model.
            TrustError: It is in an archive and `trust` is not set.
        """
        if self.model is not None:
            if self.test:
                self.model.enable_test_mode()
            return self.model
        if self.path is None or self.is_model_file:
            raise SpecificationError(
                f"{self} cannot be {purpose}: it has no specification. "
                f"Give the name or the .py file of a model specification."
            )
        if self.kind is SourceKind.ARCHIVE:
            model = load_archived_script(self.path.resolve(), trust)
        else:
            model = load_script(self.path.resolve(), reload)
        if self.test:
            model.enable_test_mode()
        apply_command_options(model)
        model.trigger_event(MltkModelEvent.AFTER_MODEL_LOAD, logger=logger)
        return model

    def archive(self, must_exist: bool = True) -> ModelArchive:
        """Return the model's archive; runs no code.

        Raises:
            SpecificationError: A model file has no archive.
            ArchiveFileNotFoundError: The model was not trained yet.
        """
        if self.model is not None:
            return self.model.archive
        if self.path is None or self.is_model_file:
            raise SpecificationError(f"{self} has no model archive.")
        if self.kind is SourceKind.ARCHIVE:
            return ModelArchive(self.path)
        path = archive_path_of(self.path, self.test)
        if must_exist and not path.is_file():
            raise ArchiveFileNotFoundError(
                f"There is no model archive {path}. "
                f"Train the model first: mltk train {self.name}{' --test' if self.test else ''}"
            )
        return ModelArchive(path)

    def member(self, ending: str) -> str:
        """Return the name of a file of the model in its archive and log folder, e.g. `x.test.tflite`."""
        return f"{self.name}{'.test' if self.test else ''}{ending}"

    @property
    def log_dir(self) -> Path | None:
        """Folder that operations on the model write to by default; `None` for a model file or an archive."""
        if self.model is not None:
            return Path(self.model.log_dir)
        return self.default_log_dir if self.kind is SourceKind.SPECIFICATION else None

    @property
    def default_log_dir(self) -> Path:
        """Folder that operations on a model of this name write to, unless its specification says otherwise."""
        return cache_dir() / "models" / f"{self.name}{'-test' if self.test else ''}"

    def content(self, ending: str) -> bytes:
        """Return a file of the model from its archive; runs no code.

        Args:
            ending: Ending of the file, e.g. `.tflite`.
        """
        return self.archive().read(self.member(ending))

    def tflite(self, ending: str = ".tflite") -> TfliteModel:
        """Return the quantized model; runs no code.

        Args:
            ending: Ending of the file in the archive, `.float32.tflite` for example.

        Raises:
            SpecificationError: This is a Keras model.
            ArchiveFileNotFoundError: The model was not trained or quantized yet.
            FileFormatError: The file is damaged.
        """
        if isinstance(self.built, TfliteModel):
            return self.built
        self._refuse_keras()
        if self.kind is SourceKind.TFLITE:
            return TfliteModel.load_flatbuffer_file(str(self.path))
        content = self.content(ending)
        if self.model is not None:
            # Specifications hand the path to an interpreter, so it must be a file.
            tflite_model = TfliteModel(content, path=str(self._unpacked(self.model, ending, content)))
            # Whoever runs the specification trusts what is trained with it.
            tflite_model.is_own = True
            return tflite_model
        return TfliteModel(content, path=f"{self.archive().path}/{self.member(ending)}")

    def tflite_path(self, ending: str = ".tflite") -> str:
        """Return the path of the quantized model; one in an archive is extracted to a temporary folder."""
        if isinstance(self.built, TfliteModel):
            return str(self.built.path)
        self._refuse_keras()
        if self.kind is SourceKind.TFLITE:
            return str(self.path)
        if self.model is not None:
            return str(self._unpacked(self.model, ending, self.content(ending)))
        return str(self.archive().extract([self.member(ending)], kept_temporary_folder())[0])

    def keras(self, weights: str | None = None, trust: bool | None = False) -> keras.Model:
        """Return the trained Keras model.

        Args:
            weights: Weights to load afterwards: a path, a name in the weights folder, or `'best'`.
            trust: Allow code in the Keras file (Lambda layers) to run; `None` if the caller cannot be told to.

        Raises:
            SpecificationError: This is a `.tflite` file.
        """
        if self.kind is SourceKind.TFLITE:
            raise SpecificationError(f"{self} is a .tflite file, not a Keras model.")
        if self.built is not None:
            keras_model = self.built
        elif self.kind is SourceKind.KERAS:
            keras_model = load_keras_model(str(self.path), trust=trust)
        else:
            model = self.specification(trust=bool(trust))
            keras_model = load_keras_model(model.keras_archive_path, mltk_model=model, trust=trust)
            weights = weights and model.get_weights_path(weights)
        if weights:
            load_weights(keras_model, weights)
        return keras_model

    def _refuse_keras(self) -> None:
        if self.kind is SourceKind.KERAS:
            raise SpecificationError(
                f"{self} is a Keras model, not a .tflite file; 'mltk quantize' converts models."
            )

    def _unpacked(self, model: MltkModel, ending: str, content: bytes) -> Path:
        """Return a file with `content`: the one in the log folder if it is equal, else a temporary copy."""
        file = Path(model.log_dir) / self.member(ending)
        if file.is_file() and file.read_bytes() == content:
            return file
        return Path(model.get_archive_file(self.member(ending)))


def is_path(text: str) -> bool:
    """Return whether `text` is a path rather than a model's name."""
    return text.endswith(_PATH_ENDINGS) or os.sep in text
