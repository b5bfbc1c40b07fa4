"""What is fuzzed: each function takes a stranger's bytes and returns what came of them, or raises `MltkError`.

Anything else that comes out is a defect. `fuzz.py` calls these with inputs that reach ever more code; `test_corpus.py`
with those that once found something.
"""

import contextlib
import io
import math
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "tflite" / "data"

_LONGEST_CLIP = 50_000
_NUMBERS = (
    0,
    1,
    -1,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    10_000_000,
    2**31,
    2**63,
    10**30,
    1e308,
    1e-320,
    True,
)


def tflite(data: bytes) -> str:
    """Read a `.tflite`, everything that is in it, and describe it."""
    from mltk.errors import FileFormatError
    from mltk.tflite import TfliteModel

    model = TfliteModel(data)
    for tensor in model.tensors:
        # The values may not have the tensor's shape; the rest is still to be had.
        with contextlib.suppress(FileFormatError):
            assert tensor.data.shape is not None
        assert tensor.quantization.n_channels >= 0
    assert model.inputs is not None
    assert model.outputs is not None
    assert model.get_all_metadata() is not None
    return model.summary()


def parameters(data: bytes) -> str:
    """Read a dictionary of parameters; writing it and reading that gives the same."""
    from mltk.tflite.parameters import TfliteModelParameters

    read = TfliteModelParameters.deserialize(data)
    written = read.serialize()
    again = TfliteModelParameters.deserialize(written)
    assert list(again) == list(read)
    assert again.serialize() == written
    return read.summary()


def archive(data: bytes) -> list[str]:
    """Read a model archive, and extract the same bytes as a downloaded one; nothing is left elsewhere."""
    from mltk.errors import MltkError
    from mltk.utils.archive import extract_archive
    from mltk.utils.model_archive import ModelArchive

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a"
        path.write_bytes(data)
        try:
            extract_archive(path, folder / "in" / "out", extract_nested=True, max_files=64, max_bytes=1 << 20)
        except MltkError as e:
            check_message(e)
        assert {p.name for p in folder.iterdir()} <= {"a", "in"}
        assert {p.name for p in (folder / "in").iterdir()} <= {"out"}
        assert not any(p.is_symlink() for p in folder.rglob("*"))
        model_archive = ModelArchive(path)
        names = model_archive.names()
        for member in names:
            model_archive.read(member)
        return names


def frontend(data: bytes) -> tuple[int, int]:
    """Take settings of the audio front end as a stranger's `.tflite` would hold them, and use them."""
    from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

    settings = AudioFeatureGeneratorSettings.from_parameters(frontend_parameters(data))
    settings.validate()
    rows, channels = settings.spectrogram_shape
    if settings.sample_length <= _LONGEST_CLIP:
        generator = AudioFeatureGenerator(settings)
        sample = np.random.default_rng(0).integers(-32768, 32767, settings.sample_length, np.int16)
        assert generator.process_sample(sample, np.int8).shape == (rows, channels)
    return rows, channels


def frontend_parameters(data: bytes) -> dict[str, object]:
    """Return parameters: for each seven bytes a setting, the kind of its value, and its value."""
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

    names = list(AudioFeatureGeneratorSettings())
    values: dict[str, object] = {}
    for setting, kind, short, number in struct.iter_unpack("<BBbf", data[: len(data) // 7 * 7]):
        whole = struct.unpack("<i", struct.pack("<f", number))[0]
        name = names[setting % len(names)]
        values[name] = (short, whole % 50_000, number, _NUMBERS[whole % len(_NUMBERS)], str(number), [short])[
            kind % 6
        ]
    return values


def image(data: bytes) -> tuple[int, ...]:
    """Read an image; the first byte chooses the ending of its name."""
    from mltk_plugin_image._files import FILE_FORMATS, read_image

    with _file(data, FILE_FORMATS) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_image(path, "rgb", (16, 16)).shape


def audio(data: bytes) -> int:
    """Read a recording; the first byte chooses the ending of its name."""
    from mltk_plugin_audio._files import FILE_FORMATS, read_recording

    with _file(data, FILE_FORMATS) as path:
        return len(read_recording(path)[0])


@contextlib.contextmanager
def _file(data: bytes, endings: tuple[str, ...]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{endings[(data[:1] or b'a')[0] % len(endings)].lstrip('.')}"
        path.write_bytes(data[1:])
        yield path


def check_message(error: Exception) -> None:
    """Check that an error is one line."""
    assert str(error)
    assert len(str(error).splitlines()) == 1, ascii(str(error))


def call(name: str, data: bytes) -> None:
    """Give bytes to the target of that name; only a result or an error in one line may come of them."""
    from mltk.errors import MltkError

    try:
        TARGETS[name](data)
    except MltkError as e:
        check_message(e)


TARGETS = {
    "tflite": tflite,
    "parameters": parameters,
    "archive": archive,
    "frontend": frontend,
    "image": image,
    "audio": audio,
}


def seeds(name: str) -> list[bytes]:
    """Return small sound inputs to start from."""
    if name == "tflite":
        from mltk.tflite.parameters import TfliteModelParameters

        files = [path.read_bytes() for path in sorted(DATA.glob("*.tflite"))]
        return [*files, TfliteModelParameters(name="m", classes=["a"]).add_to_tflite_flatbuffer(files[-1])]
    if name == "parameters":
        return [_all_parameters(), _all_parameters(classes=["a", "b"], numbers=[1, 2]), b""]
    if name == "archive":
        return _archives()
    if name == "image":
        return _images()
    if name == "audio":
        return _recordings()
    return [b"", _frontend_settings("noise_reduction_enable", "pcan_enable"), _frontend_settings(*_SWITCHES)]


def _all_parameters(**more: object) -> bytes:
    from mltk.tflite.parameters import TfliteModelParameters

    values = TfliteModelParameters(b=True, i=-3, l=2**40, f=0.5, d=-0.5, s="text", x=b"\0\1", **more)
    return values.serialize()


def _images() -> list[bytes]:
    from PIL import Image

    from mltk_plugin_image._files import FILE_FORMATS

    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    files = []
    for ending, mode, more in (
        ("png", "RGB", {}),
        ("png", "P", {}),
        ("jpg", "RGB", {}),
        ("jpg", "CMYK", {"progressive": True}),
        ("bmp", "RGB", {}),
        ("ppm", "RGB", {}),
        ("tif", "F", {}),
        ("tif", "RGB", {"compression": "tiff_lzw"}),
    ):
        image = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(
            image, {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending), **more
        )
        files.append(bytes([FILE_FORMATS.index(ending)]) + image.getvalue())
    array = io.BytesIO()
    np.save(array, pixels)
    return [*files, bytes([FILE_FORMATS.index("npy")]) + array.getvalue()]


def _recordings() -> list[bytes]:
    import soundfile

    from mltk_plugin_audio._files import FILE_FORMATS

    noise = 0.2 * np.random.default_rng(0).standard_normal((400, 2))
    files = []
    for ending, subtype in (
        ("wav", "PCM_16"),
        ("wav", "IMA_ADPCM"),
        ("flac", "PCM_16"),
        ("ogg", "VORBIS"),
        ("ogg", "OPUS"),
        ("mp3", "MPEG_LAYER_III"),
    ):
        sound = io.BytesIO()
        soundfile.write(sound, noise, 16000, format=ending.upper(), subtype=subtype)
        files.append(bytes([FILE_FORMATS.index(f".{ending}")]) + sound.getvalue())
    return files


_SWITCHES = (
    "activity_detection_enable",
    "dc_notch_filter_enable",
    "noise_reduction_enable",
    "quantize_dynamic_scale_enable",
)


def _frontend_settings(*switched_on: str) -> bytes:
    """Return what `frontend_parameters` takes for settings that are switched on."""
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

    names = list(AudioFeatureGeneratorSettings())
    return b"".join(struct.pack("<BBbf", names.index(f"fe.{name}"), 0, 1, 0) for name in switched_on)


def _archives() -> list[bytes]:
    import gzip

    from mltk.utils.model_archive import ModelArchive

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "m.mltk.zip"
        ModelArchive(path).update({"m.py": b"x = 1\n" * 9, "eval/h5/r.json": b"{}"})
        packed = path.read_bytes()
    stored, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(stored, "w") as file:
        file.writestr("a/b.txt", "text")
        file.writestr("inner.zip", packed)
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, member, target in (
            (tarfile.REGTYPE, "a", ""),
            (tarfile.SYMTYPE, "b", "a"),
            (tarfile.LNKTYPE, "é" * 60, "a"),
            (tarfile.DIRTYPE, "d", ""),
        ):
            info = tarfile.TarInfo(member)
            info.type, info.linkname = kind, target
            archive.addfile(info, io.BytesIO())
    plain = tar.getvalue()[:5120]
    return [packed, stored.getvalue(), plain, gzip.compress(plain), gzip.compress(b"text" * 99)]
