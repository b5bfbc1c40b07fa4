"""Look for inputs that a reader does not stand, guided by the code that they reach. Needs `mltk-core[fuzz]`.

    python tests/fuzz/fuzz.py parameters -runs=500000

The first argument is a target of `targets.py`, the others are options of libFuzzer (`-help=1` shows them), or a folder
that keeps the inputs that reached something new. What finds a defect is written to the working directory as
`crash-…`, `timeout-…` or `oom-…`: make it small with `-minimize_crash=1`, mend the defect, and keep the file in
`corpus/<target>/`, where `test_corpus.py` tries it ever after.
"""

import importlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

MODULES = {
    "tflite": ["mltk.tflite", "mltk.tflite.metrics", "mltk.tflite.parameters"],
    "parameters": ["mltk.tflite.parameters", "mltk.tflite"],
    "archive": ["mltk.utils.model_archive", "mltk.utils.archive", "zipfile", "tarfile"],
    "frontend": ["mltk_plugin_audio.frontend"],
    "image": ["mltk_plugin_image._files", "PIL.Image"],
    "audio": ["mltk_plugin_audio._files"],
}
"""What each target imports first, so that the code is followed."""
FOLLOWED = [
    "mltk",
    "mltk_plugin_audio",
    "ai_edge_litert.schema_py_generated",
    "zipfile",
    "tarfile",
    "mltk_plugin_image",
    "PIL",
]
LIMITS = ["-rss_limit_mb=512", "-timeout=10", "-max_len=8192", "-print_final_stats=1"]


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else ""
    if target not in MODULES:
        sys.exit(f"Name a target: {', '.join(MODULES)}.")
    with tempfile.TemporaryDirectory() as scratch:
        # Numba's code checks no index, unless compiled so.
        os.environ.update(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=f"{scratch}/numba")
        # Keep what is loaded from being loaded again in a form that is not followed.
        for name in ("zipfile", "tarfile"):
            sys.modules.pop(name, None)
        with atheris.instrument_imports(include=FOLLOWED):
            for module in MODULES[target]:
                importlib.import_module(module)
            if target == "tflite":
                importlib.import_module("ai_edge_litert.schema_py_generated")
        sys.path.insert(0, str(Path(__file__).parent))
        import targets

        start = Path(scratch) / "seeds"
        start.mkdir()
        for number, seed in enumerate(targets.seeds(target)):
            (start / str(number)).write_bytes(seed)
            # What is compiled at the first call takes longer than one input may.
            targets.call(target, seed)
        # libFuzzer writes what it finds into the first folder.
        options = [*LIMITS, *sys.argv[2:]]
        folders = [option for option in options if not option.startswith("-")] or [f"{scratch}/found"]
        Path(folders[0]).mkdir(parents=True, exist_ok=True)
        flags = [option for option in options if option.startswith("-")]
        atheris.Setup([sys.argv[0], *flags, *folders, str(start)], lambda data: targets.call(target, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
