"""Each rule of the doctor says something where it should, and nothing where it should not."""

from textwrap import dedent

import pytest

from mltk_plugin_migrate.doctor import examine_text
from mltk_plugin_migrate.doctor.rules import RULES

MODEL = """
import mltk.core as mltk_core
class MyModel(mltk_core.MltkModel, mltk_core.TrainMixin, mltk_core.DatasetMixin, mltk_core.EvaluateClassifierMixin):
    pass
my_model = MyModel()
"""
KERAS = "import tensorflow as tf\nfrom tensorflow import keras\n"
AUDIO = "from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator as Generator\n"
IMAGE = "from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator as Generator\n"
PIP = "from mltk.utils.python import install_pip_package\n"
FRONTEND = "from mltk.core.preprocess.audio.audio_feature_generator import AudioFeatureGeneratorSettings as Settings\n"
AUTOENCODER = """
import mltk.core as mltk_core
class MyModel(mltk_core.MltkModel, mltk_core.EvaluateAutoEncoderMixin):
    pass
my_model = MyModel()
"""
BUILD = f"""
{MODEL}{KERAS}
K = tf.keras.backend
def build(model):
    x = keras.Input(model.input_shape)
    x = keras.layers.Dense(3)(x)
    BODY
    return keras.Model(x, x)
my_model.build_model_function = build
"""


def build(body):
    return BUILD.replace("BODY", body)


# Rule: scripts where it must speak, and near misses where it must not.
CASES = {
    "keras-optimizer-lr": (
        [
            "self.model.optimizer.lr",
            "optimizer.lr = 3",
            "hasattr(self.model.optimizer, 'lr')",
            "setattr(model.optimizer, 'lr', 1)",
        ],
        [
            "optimizer.learning_rate",
            "args.lr",
            "hasattr(args, 'lr')",
            "optimizer_settings.lr",
            "'optimizer.lr'",
        ],
    ),
    "keras-lr-argument": (
        [f"{KERAS}keras.optimizers.Adam(lr=0.1)", "from tensorflow.keras.optimizers import SGD\nSGD(lr=1)"],
        [
            f"{KERAS}keras.optimizers.Adam(learning_rate=0.1)",
            f"{KERAS}keras.callbacks.Mine(lr=0.1)",
            "Adam(lr=0.1)",
        ],
    ),
    "keras-decay-argument": (
        [f"{KERAS}keras.optimizers.Adam(decay=1e-4)", f"{KERAS}tf.keras.optimizers.SGD(0.1, decay=rate)"],
        [f"{KERAS}keras.optimizers.Adam(weight_decay=1e-4)", f"{KERAS}keras.optimizers.Adam(decay=0.0)"],
    ),
    "keras-legacy-optimizer": (
        [f"{KERAS}tf.keras.optimizers.legacy.Adam()", "from tensorflow.keras.optimizers.legacy import Adam"],
        [f"{KERAS}tf.keras.optimizers.Adam()", "import legacy\nlegacy.Adam()"],
    ),
    "keras-optimizer-method": (
        ["self.optimizer.minimize(loss, variables)", "model.optimizer.get_weights()"],
        ["model.get_weights()", "scipy.optimize.minimize(f)", "self.optimizer.apply_gradients(x)"],
    ),
    "keras-reduction-auto": (
        [
            f"{KERAS}tf.keras.losses.Reduction.AUTO",
            "from tensorflow.keras.losses import Reduction\nr = Reduction.AUTO",
            f"{KERAS}losses = tf.keras.losses\nlosses.Reduction.AUTO",
        ],
        [f"{KERAS}tf.keras.losses.Reduction.SUM", "Reduction.AUTO"],
    ),
    "keras-learning-phase": (
        [
            "from tensorflow.keras import backend as K\nK.learning_phase()",
            f"{KERAS}keras.backend.set_learning_phase(0)",
        ],
        ["from tensorflow.keras import backend as K\nK.epsilon()", "K.learning_phase()"],
    ),
    "keras-removed-layer": (
        [f"{KERAS}tf.keras.layers.LocallyConnected1D(3, 3)", "from keras.layers import LocallyConnected2D"],
        [f"{KERAS}tf.keras.layers.Conv1D(3, 3)", "from mylayers import LocallyConnected2D"],
    ),
    "keras-removed-module": (
        [
            "from tensorflow.keras.utils.data_utils import Sequence",
            "import keras.engine.topology",
            f"{KERAS}tf.keras.layers.experimental.preprocessing.Rescaling(1)",
        ],
        ["from tensorflow.keras.utils import Sequence", "from data_utils import Sequence"],
    ),
    "keras-removed-function": (
        ["from keras import backend as K\nK.get_session()", f"{KERAS}tf.keras.utils.OrderedEnqueuer(x)"],
        ["from keras import backend as K\nK.clear_session()", f"{KERAS}tf.keras.utils.to_categorical(x)"],
    ),
    "tensorflow-1": (
        [f"{KERAS}tf.compat.v1.disable_eager_execution()", f"{KERAS}with tf.Session() as s: pass"],
        [f"{KERAS}tf.compat.v1.logging.set_verbosity(1)", "requests.Session()"],
    ),
    "keras-2-package": (
        ["import tf_keras", "import tensorflow_addons as tfa", "from tensorflow.python.keras import layers"],
        ["import keras", "import tf_keras_vis", "from tensorflow.python.client import x"],
    ),
    "keras-2-variable": (
        ["import os\nos.environ['TF_USE_LEGACY_KERAS'] = '1'"],
        ["import os\nos.environ['TF_CPP_MIN_LOG_LEVEL'] = '1'", '"""About TF_USE_LEGACY_KERAS"""'],
    ),
    "keras-removed-method": (
        ["model.fit_generator(g)", "model.predict_classes(x)"],
        ["model.fit(g)", "fit_generator(g)"],
    ),
    "keras-fit-workers": (
        ["model.fit(x, workers=4)", "m.predict(x, use_multiprocessing=True)"],
        ["pool.map(x, workers=4)", "model.fit(x, epochs=4)"],
    ),
    "train-kwargs": (
        [
            f"{MODEL}my_model.train_kwargs = dict(workers=4)",
            f"{MODEL}my_model.train_kwargs = {{'max_queue_size': 4}}",
            f"{MODEL}my_model.train_kwargs['use_multiprocessing'] = True",
            f"{MODEL}my_model.train_kwargs.update(workers=4)",
        ],
        [f"{MODEL}my_model.train_kwargs = dict(verbose=1)", "other.train_kwargs = dict(workers=4)"],
    ),
    "keras-save-format": (
        ["model.save('m', save_format='tf')", "model.save(path, save_format=fmt)"],
        ["model.save('m.h5', save_format='h5')", "model.save('m.keras')"],
    ),
    "keras-weights-name": (
        [
            "model.save_weights('w.h5')",
            "model.save_weights(f'{folder}/w')",
            "m.save_weights(folder + '/w.ckpt')",
        ],
        ["model.save_weights('w.weights.h5')", "model.load_weights('w.h5')", "model.save_weights(path)"],
    ),
    "keras-checkpoint-weights-name": (
        [
            f"{KERAS}keras.callbacks.ModelCheckpoint('w.h5', save_weights_only=True)",
            f"{KERAS}keras.callbacks.ModelCheckpoint(filepath=f'{{d}}/w.ckpt', save_weights_only=True)",
        ],
        [
            f"{KERAS}keras.callbacks.ModelCheckpoint('w.weights.h5', save_weights_only=True)",
            f"{KERAS}keras.callbacks.ModelCheckpoint('w.keras')",
        ],
    ),
    "keras-checkpoint-name": (
        [f"{KERAS}keras.callbacks.ModelCheckpoint('folder')"],
        [
            f"{KERAS}keras.callbacks.ModelCheckpoint('m.keras', save_weights_only=False)",
            f"{KERAS}keras.callbacks.ModelCheckpoint('w.weights.h5', save_weights_only=True)",
            f"{KERAS}keras.callbacks.ModelCheckpoint(path)",
        ],
    ),
    "keras-checkpoint-argument": (
        [f"{KERAS}keras.callbacks.ModelCheckpoint('m.keras', period=2)"],
        [f"{KERAS}keras.callbacks.ModelCheckpoint('m.keras', save_freq=2)"],
    ),
    "keras-layer-argument": (
        [
            f"{KERAS}keras.layers.BatchNormalization(fused=True)",
            "from keras.layers import LSTM\nLSTM(3, time_major=True)",
        ],
        [
            f"{KERAS}keras.layers.BatchNormalization(momentum=0.9)",
            f"{KERAS}keras.applications.VGG16(weights=None)",
        ],
    ),
    "keras-layer-shape": (
        [
            "model.layers[-1].output_shape[1]",
            "for layer in model.layers:\n    print(layer.input_shape)",
            "model.get_layer('x').output_shape",
        ],
        ["my_model.input_shape", "model.output_shape", "model.layers[-1].output.shape", "self.input_shape"],
    ),
    "keras-symbolic-operation": (
        [
            build("x = tf.squeeze(x, axis=1)"),
            build("y = [x, x]\n    z = tf.concat(y, 1)"),
            build("x = K.sqrt(x + 1)"),
            build("x = x[:, 0]\n    x = tf.nn.relu(x)"),
            build("x = tf.reshape(tensor=x, shape=(1,))"),
            build("x = helper(x)") + "\ndef helper(y):\n    return tf.abs(y)\n",
            build("for i in range(3):\n        y = tf.abs(z)\n        z = keras.layers.Dense(1)(x)"),
            f"{KERAS}import numpy as np\nx = keras.Input((3,))\ny = np.sqrt(x)",
        ],
        [
            build("x = keras.ops.squeeze(x, axis=1)"),
            build("x = keras.layers.Lambda(lambda t: tf.squeeze(t, 1))(x)"),
            build("n = tf.constant(3)"),
            build("s = K.int_shape(x)"),
            build("n = np_like.prod(x.shape)"),
            build("x = keras.layers.Lambda(distance)(x)") + "\ndef distance(t):\n    return tf.abs(t)\n",
            build("pass")
            + "\nclass L(keras.layers.Layer):\n    def call(self, x):\n        return tf.abs(x)\n",
            build("pass") + "\ndef augment(x):\n    x = tf.abs(x)\n    return x\n",
        ],
    ),
    "keras-history-lr": (
        ["results.history['lr'][-1]", "history.history.get('lr')", "history['lr']"],
        ["logs['lr']", "results.history['learning_rate']", "history['lr'] = 1"],
    ),
    "numpy-removed-name": (
        ["import numpy as np\nx = np.float(3)", "from numpy import NaN", "import numpy\nnumpy.trapz(y)"],
        [
            "import numpy as np\nx = np.float32(3)",
            "import numpy as np\nnp.nan",
            "np.float(3)",
            "import numpy as np\nnp.bool",
        ],
    ),
    "librosa-positional": (
        [
            "import librosa\nlibrosa.resample(x, 8000, 16000)",
            "import librosa as l\nl.feature.melspectrogram(x)",
        ],
        [
            "import librosa\nlibrosa.resample(x, orig_sr=1, target_sr=2)",
            "import librosa\nlibrosa.resample(*given, 1)",
        ],
    ),
    "audiomentations-argument": (
        ["import audiomentations\naudiomentations.Gain(min_gain_in_db=-3, max_gain_in_db=3)"],
        [
            "import audiomentations\naudiomentations.Gain(min_gain_db=-3)",
            f"{PIP}install_pip_package('audiomentations')\nimport audiomentations as a\na.Gain(min_gain_in_db=-3)",
            "other.Gain(min_gain_in_db=-3)",
        ],
    ),
    "audiomentations-old-argument": (
        [
            f"{PIP}install_pip_package('audiomentations>=0.30')\nimport audiomentations as a\na.Gain(min_gain_in_db=-3)"
        ],
        ["import audiomentations as a\na.Gain(min_gain_in_db=-3)"],
    ),
    "cv2-cv2": (
        ["from cv2 import cv2", "import cv2.cv2"],
        ["import cv2", "try:\n    from cv2 import cv2\nexcept ImportError:\n    import cv2"],
    ),
    "package-missing": (
        [
            "import surely_not_installed.deep",
            "def f():\n    from surely_not_installed import x",
            "try:\n    import surely_not_installed\nexcept ValueError: pass",
        ],
        [
            "import json, numpy.linalg",
            "from . import surely_not_installed",
            "try:\n    import surely_not_installed\nexcept (ImportError, OSError): pass",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import surely_not_installed",
            "if __name__ == '__main__':\n    import surely_not_installed",
            f"{PIP}install_pip_package('surely-not-installed')\nimport surely_not_installed",
        ],
    ),
    "pip-asks": (
        [f"{PIP}install_pip_package('surely-not-installed>=2')"],
        [
            f"{PIP}install_pip_package('numpy')",
            f"{PIP}install_pip_package(name)",
            "install_pip_package('surely')",
        ],
    ),
    "undefined-name": (
        [
            "from mltk.core import *\nclass M(MltkModel, NothingLikeIt): pass",
            "def f():\n    return missing",
        ],
        [
            "from mltk.core import *\nclass M(MltkModel, TrainMixin, AudioDatasetMixin): pass",
            "from os.path import *\njoin('a')",
            "def f(a, *b, **c):\n    [d for d in b]\n    return a, c, __file__, len(b)",
            "try: pass\nexcept OSError as e: print(e)",
            "import a.b\nwith a.b as (c, d): c(d)",
        ],
    ),
    "mltk-argument": (
        [
            "from mltk.datasets.image import mnist\nmnist.load_data(dest=1)",
            "import mltk.core as mltk_core\nmltk_core.profile_model()",
        ],
        [
            "from mltk.datasets.image import mnist\nmnist.load_data(dest_dir='a', clean_dest_dir=True)",
            "import mltk.core as mltk_core\nmltk_core.profile_model(*x, **y)",
            "import other\nother.load(dest=1)",
        ],
    ),
    "estimates": (
        ["import mltk.core as mltk_core\nmltk_core.profile_model('a', return_estimates=True)"],
        ["import mltk.core as mltk_core\nmltk_core.profile_model('a', return_estimates=False)"],
    ),
    "mltk-name": (
        [
            "from mltk.core import TrainMixn",
            "import mltk.core.no_such_module",
            "import mltk.core as c\nc.train_modell",
            "from mltk import cli\ncli.build_cli",
        ],
        [
            "from mltk.core import TrainMixin, train_model, TfliteModel",
            "import mltk.core as c\nc.evaluate_model",
            "try:\n    from mltk.core import Nothing\nexcept ImportError: pass",
            "from mltk.core import *",
        ],
    ),
    "model-attribute": (
        [
            f"{MODEL}my_model.epoch = 3",
            f"{MODEL}my_model.datagen = 3",
            f"{MODEL}my_model.checkpoints['monitor'] = 1",
        ],
        [
            f"{MODEL}my_model.epochs = 3",
            f"{MODEL}my_model._mine = 3",
            "import mltk.core as c\nclass M(c.MltkModel):\n    def mine(self): pass\nm = M()\nm.mine()",
            "import mltk.core as c\nfrom elsewhere import Base\nclass M(c.MltkModel, Base): pass\nm = M()\nm.mine = 1",
            "other.epoch = 3",
        ],
    ),
    "several-models": ([f"{MODEL}second = MyModel()"], [MODEL, f"{MODEL}alias = my_model"]),
    "no-model": (
        ["import numpy", ""],
        [
            MODEL,
            "from base import Base\nclass M(Base): pass\nm = M()",
            "from mltk.core import MltkModel\nm = MltkModel()",
        ],
    ),
    "converter-setting": (
        [
            f"{MODEL}my_model.tflite_converter['inference_input_typ'] = 1",
            f"{MODEL}my_model.tflite_converter = {{'optimisations': []}}",
        ],
        [
            f"{MODEL}my_model.tflite_converter['inference_input_type'] = 1",
            f"{MODEL}my_model.tflite_converter[key] = 1",
        ],
    ),
    "callback-setting": (
        [
            f"{MODEL}my_model.checkpoint['options'] = settings()",
            f"{MODEL}my_model.early_stopping = dict(patience=1, monitr='loss')",
            f"{MODEL}my_model.tensorboard['write_grads'] = True",
        ],
        [
            f"{MODEL}my_model.checkpoint = dict(monitor='loss', options=None)",
            f"{MODEL}my_model.early_stopping = dict(patience=1, monitor='loss')",
            f"{MODEL}my_model.class_weights = dict(anything=1)",
        ],
    ),
    "audio-pitch": (
        [f"{AUDIO}Generator(pitch_range=(0.9, 1.1))", f"{AUDIO}Generator(pitch_range=[-0.5, 1])"],
        [
            f"{AUDIO}Generator(pitch_range=(-2, 2))",
            f"{AUDIO}Generator(pitch_range=None)",
            "Generator(pitch_range=(0.9, 1.1))",
        ],
    ),
    "audio-vocal-tract": (
        [f"{AUDIO}Generator(vtlp_range=(0.9, 1.1))"],
        [f"{AUDIO}Generator(vtlp_range=None)", f"{IMAGE}Generator(vtlp_range=(0.9, 1.1))"],
    ),
    "audio-background-noise": (
        [f"{AUDIO}Generator(bg_noise_dir='noise')", f"{AUDIO}Generator(bg_noise_dir=folder)"],
        [f"{AUDIO}Generator(bg_noise_dir=None)", f"{AUDIO}Generator(bg_noise_range=(0, 1))"],
    ),
    "audio-speed": ([f"{AUDIO}Generator(speed_range=(0.9, 1.1))"], [f"{AUDIO}Generator(speed_range=None)"]),
    "audio-noise-color": (
        [f"{AUDIO}Generator(noise_color_range=(0.1, 0.2))"],
        [f"{AUDIO}Generator(noise_colors='all')"],
    ),
    "image-noise": (
        [f"{IMAGE}Generator(noise=['gauss', 's&p'])", f"{IMAGE}Generator(noise='poisson')"],
        [
            f"{IMAGE}Generator(noise=['s&p'])",
            f"{IMAGE}Generator(noise=None)",
            f"{AUDIO}Generator(noise=['gauss'])",
        ],
    ),
    "image-shift": (
        [
            f"{IMAGE}Generator(width_shift_range=5)",
            f"{IMAGE}Generator(width_shift_range=5, height_shift_range=2)",
        ],
        [
            f"{IMAGE}Generator(width_shift_range=5, height_shift_range=5)",
            f"{IMAGE}Generator(rotation_range=5)",
        ],
    ),
    "binary-metrics": (
        [f"{MODEL}my_model.class_mode = 'binary'"],
        [
            f"{MODEL}my_model.class_mode = 'categorical'",
            "import mltk.core as c\nclass M(c.MltkModel): pass\nm = M()\nm.class_mode = 'binary'",
        ],
    ),
    "schedule-and-plateau": (
        [f"{MODEL}my_model.lr_schedule = f\nmy_model.reduce_lr_on_plateau['factor'] = 0.5"],
        [
            f"{MODEL}my_model.lr_schedule = f",
            f"{MODEL}my_model.lr_schedule = f\nmy_model.reduce_lr_on_plateau = None",
            f"{MODEL}my_model.lr_schedule = {{}}\nmy_model.reduce_lr_on_plateau['factor'] = 0.5",
        ],
    ),
    "weights-best": (
        [
            f"{MODEL}my_model.checkpoint['monitor'] = 'val_loss'",
            f"{MODEL}my_model.checkpoint = dict(monitor='mae')",
        ],
        [
            f"{MODEL}my_model.checkpoint['monitor'] = 'val_accuracy'",
            f"{MODEL}my_model.early_stopping['monitor'] = 'loss'",
        ],
    ),
    "several-abnormal-classes": (
        [f"{AUTOENCODER}my_model.eval_classes = ['normal', 'worn', 'broken']"],
        [
            f"{AUTOENCODER}my_model.eval_classes = ['normal', 'broken']",
            f"{MODEL}my_model.classes = ['a', 'b', 'c']",
        ],
    ),
    "float32-tflite": (
        ["path = f'{folder}/x.float32.tflite'", "'m.float32.tflite'.upper()"],
        ["'m.tflite'.upper()", '"""Makes m.float32.tflite"""', "'x.float32.tflite or so'.upper()"],
    ),
    "float32-tflite-path": (
        [f"{MODEL}my_model.unquantized_tflite_log_dir_path"],
        [f"{MODEL}my_model.tflite_log_dir_path"],
    ),
    "frontend-arguments": (
        [f"{FRONTEND}Settings(sample_rate_hz=8000)"],
        [f"{FRONTEND}s = Settings()\ns.sample_rate_hz = 8000"],
    ),
    "event-handler": ([f"{MODEL}my_model.add_event_handler(e, f)"], ["add_event_handler(e, f)"]),
    "hardware": (
        [f"{MODEL}mltk_core.profile_model(my_model, accelerator='mvp')"],
        [f"{MODEL}mltk_core.profile_model(my_model)", "profile_model(m, accelerator='mvp')"],
    ),
    "generator-processes": (
        [
            f"{AUDIO}Generator(disable_gpu_in_subprocesses=False)",
            f"{IMAGE}Generator(disable_gpu_in_subprocesses=True)",
        ],
        [f"{AUDIO}Generator(cores=2)"],
    ),
    "keras-image-generator": (
        [f"{KERAS}tf.keras.preprocessing.image.ImageDataGenerator()"],
        [
            f"{KERAS}tf.keras.preprocessing.image.load_img('x')",
            "from mltk.core.keras import ImageDataGenerator",
        ],
    ),
    "data-counter": (
        [f"{KERAS}tf.data.experimental.Counter()"],
        [f"{KERAS}tf.data.Dataset.counter()", "from collections import Counter"],
    ),
    "tflite-interpreter": (
        [f"{KERAS}tf.lite.Interpreter('x')"],
        [f"{KERAS}tf.lite.TFLiteConverter", "from ai_edge_litert.interpreter import Interpreter"],
    ),
}
# Those of the name of the file, and of what is installed, have tests of their own.
ELSEWHERE = {"command-file", "model-name", "plugin-missing"}


def found(text):
    return [finding.rule for finding in examine_text(dedent(text).encode()).findings]


def test_every_rule_has_its_cases():
    assert set(CASES) | ELSEWHERE == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("rule", "number"), [(r, i) for r, cases in CASES.items() for i in range(len(cases[0]))]
)
def test_a_rule_speaks(rule, number):
    assert rule in found(CASES[rule][0][number])


@pytest.mark.parametrize(
    ("rule", "number"), [(r, i) for r, cases in CASES.items() for i in range(len(cases[1]))]
)
def test_a_rule_is_silent_where_it_nearly_applies(rule, number):
    text = CASES[rule][1][number]
    assert "syntax" not in found(text)
    assert rule not in found(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_message_is_whole_sentences_without_a_field_left(rule):
    cases = CASES.get(rule.name)
    for text in cases[0] if cases else ():
        for finding in examine_text(text.encode()).findings:
            if finding.rule == rule.name:
                assert finding.severity == rule.severity and finding.heuristic == rule.heuristic
                assert "{" not in finding.message and "None" not in finding.message
                assert len(finding.message) < 320
