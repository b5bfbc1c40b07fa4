"""The open Weights & Biases run of each model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import wandb


@dataclass
class RunState:
    """The run of a model and the operations in progress."""

    run: wandb.Run | None = None
    """The open run."""
    permissions: tuple[bool, ...] = ()
    """For each operation in progress, the outermost first: True if it may use the run."""
    evaluates_tflite: bool = False
    """The last evaluation is of the quantized model."""

    @property
    def is_active(self) -> bool:
        """True if there is an open run and the current operation may use it."""
        return self.run is not None and bool(self.permissions) and all(self.permissions)

    @property
    def open_run(self) -> wandb.Run:
        """The open run, which must exist."""
        assert self.run is not None
        return self.run


_states: WeakKeyDictionary[object, RunState] = WeakKeyDictionary()


def state_of(model: object) -> RunState:
    """Return the state of a model."""
    return _states.setdefault(model, RunState())
