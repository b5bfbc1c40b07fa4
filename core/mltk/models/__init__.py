"""Model specifications that come with mltk, and networks to build on in `mltk.models.shared`."""
