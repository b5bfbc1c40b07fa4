"""Model specifications that come with the plugin."""
