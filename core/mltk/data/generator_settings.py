"""The settings that all data generators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from mltk.data.checks import (
    SUBSETS,
    check_batch_size,
    check_callback,
    check_choice,
    check_function,
    check_integer,
    check_number,
    check_seed,
    check_split,
)
from mltk.data.mixing import make_mixing_step
from mltk.errors import SpecificationError, did_you_mean
from mltk.plugins.types import AugmentationStep
from mltk.utils.threads import worker_count


@dataclass(frozen=True)
class FlowOptions:
    """Options of one iterator, after the generator's settings were applied to the arguments of `flow…`."""

    subset: str | None = None
    """`training`, `validation`, or `None` for everything."""
    batch_size: int = 32
    """Samples in a batch, -1 for all of them."""
    shuffle: bool = True
    """Take samples in a new order in each epoch."""
    seed: int = 42
    """Seed of the order and of the augmentation."""
    augment: bool = True
    """Apply the augmentation steps."""

    @property
    def same_every_epoch(self) -> bool:
        """`True` for the validation subset, whose batches are the same in every epoch."""
        return self.subset == "validation"


@dataclass(kw_only=True, eq=False)
class GeneratorSettings:
    """Base of all data generators: their common settings.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

    rescale: float | None = None
    """Factor of the values; applied before the normalizations."""
    samplewise_center: bool = False
    """Subtract each sample's mean."""
    samplewise_std_normalization: bool = False
    """Divide each sample by its standard deviation; turns `samplewise_center` on."""
    validation_split: float = 0.0
    """Fraction of each class, from the start of its list, that forms the validation subset."""
    validation_augmentation_enabled: bool = True
    """Augment the validation subset too, with the same draws in every epoch."""
    noaug_preprocessing_function: Callable[..., object] | None = None
    """Callback before the augmentation."""
    preprocessing_function: Callable[..., object] | None = None
    """Callback after the augmentation."""
    get_batch_function: Callable[..., tuple[int, Sequence[object]]] | None = None
    """Make whole batches instead of everything else: `f(batch_index, filenames, class_ids, params)` returns
    `(batch_index, (x, y))`."""
    cores: float = 0.25
    """Threads: an integer is their number, a float a fraction of the cores."""
    debug: bool = False
    """Make batches in the calling thread, so that breakpoints work."""
    max_batches_pending: int = 4
    """Number of batches to prefetch."""
    disable_gpu_in_subprocesses: bool = True
    """Has no effect: there are no subprocesses."""
    max_samples_per_class: int = -1
    """Maximum number of samples of each class; -1 for no limit."""
    batch_size: int | None = None
    """Overrides the model's batch size and the argument of `flow…`; -1 means one batch of all samples."""
    cache_bytes: int = 256 * 2**20
    """Memory for decoded samples, which saves later epochs from reading files; 0 reads them in each epoch."""
    augmentation_steps: Sequence[AugmentationStep] = ()
    """Steps besides the built-in ones; a step with the name of a built-in one replaces it."""
    mixup: float = 0.0
    """Blend each sample and its one-hot label with another of the batch: parameter of the beta distribution of the
    shares, e.g. 0.2; 0 disables it."""
    cutmix: float = 0.0
    """Replace a rectangle of each sample by that of another of the batch, and mix the one-hot labels by its area:
    parameter of the beta distribution of the area, e.g. 1; 0 disables it. With `mixup` too, each batch gets one."""
    balanced_classes: bool = False
    """Draw every class equally often when samples are shuffled: an epoch keeps its length, repeats samples of small
    classes, and leaves out some of large ones. The validation subset is not balanced."""
    disabled_augmentations: Sequence[str] = ()
    """Names of augmentation steps to leave out, of plugins or built-in ones."""

    def __new__(cls, **values: object) -> Self:
        """Refuse names that are not settings; `__post_init__` checks the values."""
        for name in values:
            if name not in cls.__dataclass_fields__:
                raise SpecificationError(
                    f"{cls.__name__} has no setting '{name}'.{did_you_mean(name, cls.__dataclass_fields__)}"
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self.samplewise_center |= self.samplewise_std_normalization
        self.check()

    def check(self) -> None:
        """Check all settings; called again for each new iterator, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of range.
        """
        if self.rescale is not None:
            check_number("rescale", self.rescale)
        check_split(self.validation_split)
        for name in ("noaug_preprocessing_function", "preprocessing_function"):
            check_callback(name, getattr(self, name))
        check_function("get_batch_function", self.get_batch_function)
        worker_count(self.cores)
        check_integer("max_batches_pending", self.max_batches_pending, minimum=1)
        check_integer("max_samples_per_class", self.max_samples_per_class, minimum=-1)
        make_mixing_step(self.mixup, self.cutmix)
        check_integer("cache_bytes", self.cache_bytes, minimum=0)
        if self.batch_size is not None:
            check_batch_size(self.batch_size)
        if isinstance(self.disabled_augmentations, str):
            raise SpecificationError(
                f"disabled_augmentations must be a list of names, got '{self.disabled_augmentations}'."
            )

    def describe(self) -> str:
        """Return the settings that differ from the defaults, one `name: value` on a line."""
        return describe_settings(self)

    @property
    def augmentation_enabled(self) -> bool:
        """Switch for all augmentation steps; generators with a setting for it override this."""
        return True

    def built_in_steps(self) -> Sequence[AugmentationStep]:
        """Return the generator's own random transforms, as its settings describe them; the base has none."""
        return ()

    def all_steps(self) -> list[AugmentationStep]:
        """Return the built-in steps and those of `augmentation_steps`, also the disabled ones."""
        built_in = self.built_in_steps()
        domain = built_in[0].domain if built_in else ""
        steps = {(step.domain, step.name): step for step in built_in}
        mixing = make_mixing_step(self.mixup, self.cutmix)
        if mixing is not None:
            steps[domain, mixing.name] = mixing
        steps |= {(step.domain or domain, step.name): step for step in self.augmentation_steps}
        return list(steps.values())

    def active_steps(self) -> list[AugmentationStep]:
        """Return all steps but the disabled ones.

        Raises:
            SpecificationError: `disabled_augmentations` has a name that no step has.
        """
        steps = self.all_steps()
        check_disabled(self.disabled_augmentations, [step.name for step in steps])
        return [step for step in steps if step.name not in self.disabled_augmentations]

    def resolve_flow(
        self, subset: str | None, batch_size: int, shuffle: bool, seed: int | None, augment: bool | None
    ) -> FlowOptions:
        """Return the options of an iterator; settings take precedence over arguments.

        Args:
            subset: `training`, `validation`, or `None` for everything.
            batch_size: Used unless the setting `batch_size` is given.
            shuffle: Take samples in a new order in each epoch.
            seed: Seed of the order and of the augmentation; `None` means 42.
            augment: Apply the augmentation steps; `None`: as the settings say for this subset.

        Raises:
            SpecificationError: An argument is not valid.
        """
        check_choice("subset", subset, SUBSETS)
        if augment is None:
            augment = self.validation_augmentation_enabled or subset != "validation"
        return FlowOptions(
            subset=subset,
            batch_size=check_batch_size(batch_size if self.batch_size is None else self.batch_size),
            shuffle=shuffle,
            seed=check_seed(seed),
            augment=augment and self.augmentation_enabled,
        )


def check_disabled(disabled: Sequence[str], known: Sequence[str]) -> None:
    """Refuse the name of a disabled augmentation step that does not exist.

    Raises:
        SpecificationError: With the names that exist.
    """
    for name in disabled:
        if name not in known:
            steps = ", ".join(f"'{step}'" for step in dict.fromkeys(known)) or "none"
            raise SpecificationError(
                f"disabled_augmentations names '{name}', but there is no such augmentation step."
                f"{did_you_mean(str(name), known)} Steps: {steps}."
            )


def describe_settings(settings: GeneratorSettings) -> str:
    """Return the settings that differ from the defaults, one `name: value` on a line.

    Settings that all generators share come last. Built-in augmentation steps are described by their settings.
    """
    defaults = type(settings)()
    built_in = {step.name for step in settings.built_in_steps()}
    lines = []
    for name in sorted(
        settings.__dataclass_fields__, key=GeneratorSettings.__dataclass_fields__.__contains__
    ):
        value = getattr(settings, name)
        if name == "augmentation_steps":
            value = tuple(step.name for step in value if step.name not in built_in)
            if value:
                lines.append(f"{name}: {list(value)}")
        elif repr(value) != repr(getattr(defaults, name)):
            lines.append(f"{name}: {getattr(value, '__name__', value)}")
    return "\n".join(lines)
