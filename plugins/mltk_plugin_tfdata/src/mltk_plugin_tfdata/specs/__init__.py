"""Model specifications of the plugin."""
