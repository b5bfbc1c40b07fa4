"""`python -m mltk` is the command `mltk`."""

from mltk.cli.main import main

if __name__ == "__main__":
    main()
