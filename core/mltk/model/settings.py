"""Settings of plugins that a specification sets, checked when they are assigned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from mltk import _namespace
from mltk.errors import SpecificationError, did_you_mean
from mltk.plugins import Setting, get_plugin_manager


class ModelSettings(MutableMapping[str, object]):
    """Settings of one model by name, e.g. `my_model.settings["thermal.emissivity"] = 0.95`.

    Plugins declare the settings with the hook `mltk_settings`. The mapping contains all declared settings; a setting
    that was not set has its default. Deleting a setting restores the default.
    """

    def __init__(self) -> None:
        self._values: dict[str, object] = {}

    def declared(self) -> Mapping[str, Setting]:
        """Return the settings that the plugins declare, by name."""
        offers: Mapping[str, Setting] = get_plugin_manager().collect_offers("mltk_settings")
        return offers

    def __getitem__(self, name: str) -> object:
        setting = self._find(name)
        return self._values.get(name, setting.default)

    def __setitem__(self, name: str, value: object) -> None:
        self._values[name] = _checked(self._find(name), value)

    def __delitem__(self, name: str) -> None:
        self._find(name)
        self._values.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared())

    def __len__(self) -> int:
        return len(self.declared())

    def __contains__(self, name: object) -> bool:
        return name in self.declared()

    def __repr__(self) -> str:
        return f"ModelSettings({self._values!r})"

    def _find(self, name: str) -> Setting:
        settings = self.declared()
        if name in settings:
            return settings[name]
        hint = did_you_mean(name, settings)
        owner = _namespace.known_plugins()["plugins"].get(str(name).partition(".")[0], "")
        install = _namespace.install_hint(owner.replace("-", "_")) if owner else ""
        raise SpecificationError(f"There is no setting '{name}'.{hint}" + (f" {install}" if install else ""))


def _checked(setting: Setting, value: object) -> object:
    """Return the value as it is stored.

    Raises:
        SpecificationError: The value has the wrong type, is not one of the choices, or is refused by the plugin.
    """
    where = f'my_model.settings["{setting.name}"]'
    types = setting.type if isinstance(setting.type, tuple) else (setting.type,)
    if float in types and int not in types and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, types) or (
        isinstance(value, bool) and bool not in types and object not in types
    ):
        wanted = " or ".join(t.__name__ for t in types)
        raise SpecificationError(f"{where} must be {wanted}, not {type(value).__name__}: {value!r}.")
    if setting.choices and value not in setting.choices:
        choices = ", ".join(map(repr, setting.choices))
        raise SpecificationError(
            f"{where} must be one of {choices}; got {value!r}.{did_you_mean(str(value), setting.choices)}"
        )
    if setting.convert is None:
        return value
    try:
        return setting.convert(value)
    except ValueError as e:
        raise SpecificationError(f"{where} = {value!r}: {e}") from e
