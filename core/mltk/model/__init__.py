"""The model specification: `MltkModel`, its mixins, properties and events."""
