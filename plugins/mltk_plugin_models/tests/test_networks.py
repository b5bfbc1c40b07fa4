"""Networks for images and spectrograms."""

import keras
import pytest

from mltk.models.shared import DepthwiseSeparableConv2D_ARM, MobileNetV1, MobileNetV2, ResNet10V1


def _channels(network):
    return [layer.filters for layer in network.layers if type(layer) is keras.layers.Conv2D]


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda s: DepthwiseSeparableConv2D_ARM(s, num_classes=5, filters=8), (30, 7, 1)),
        (lambda s: MobileNetV1(s, num_classes=5, num_filters=4), (40, 52, 1)),
        (lambda s: MobileNetV2(s, classes=5, alpha=0.1, last_block_filters=16), (33, 20, 2)),
        (lambda s: ResNet10V1(s, num_classes=5, num_filters=4), (20, 32, 1)),
    ],
    ids=["DS-CNN", "MobileNetV1", "MobileNetV2", "ResNet10V1"],
)
def test_other_shapes_and_numbers_of_classes_work(build, shape):
    network = build(shape)
    assert network.input_shape == (None, *shape)
    assert network.output_shape == (None, 5)


def test_all_blocks_of_resnet_scale_with_the_number_of_filters():
    assert _channels(ResNet10V1((16, 16, 3), num_filters=8)) == [8, 8, 8, 16, 16, 16, 32, 32, 32]


def test_mobilenet_v2_equals_that_of_keras():
    ours = MobileNetV2((32, 32, 3), alpha=0.5, classes=10)
    theirs = keras.applications.MobileNetV2((32, 32, 3), alpha=0.5, classes=10, weights=None)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    x = keras.random.normal((2, 32, 32, 3), seed=1)
    assert float(keras.ops.max(keras.ops.abs(ours(x) - theirs(x)))) < 1e-6


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({}, (2, 1, 112)), ({"pooling": "avg"}, (112,)), ({"pooling": "max"}, (112,))],
    ids=["map", "averages", "maxima"],
)
def test_mobilenet_v2_without_a_classifier_gives_features(settings, shape):
    network = MobileNetV2((40, 30, 1), alpha=0.35, include_top=False, last_block_filters=112, **settings)
    assert network.output_shape == (None, *shape)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0}, "alpha must be greater than 0, got 0"),
        ({"pooling": "mean"}, "pooling must be 'avg', 'max' or None, got 'mean'"),
        ({"weights": "imagenet"}, "there are no pretrained weights"),
    ],
    ids=["alpha", "pooling", "weights"],
)
def test_mobilenet_v2_rejects_invalid_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        MobileNetV2((32, 32, 3), **settings)


def test_only_kernels_that_are_not_depthwise_have_a_penalty():
    for regularizer in (0.5, keras.regularizers.L2(0.5)):
        network = DepthwiseSeparableConv2D_ARM((20, 10, 1), filters=4, regularizer=regularizer)
        kinds = [type(la).__name__ for la in network.layers if getattr(la, "kernel_regularizer", None)]
        assert kinds == 5 * ["Conv2D"]
        kernels = [la.kernel for la in network.layers if type(la) is keras.layers.Conv2D]
        expected = sum(0.5 * float(keras.ops.sum(kernel**2)) for kernel in kernels)
        assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)
    assert DepthwiseSeparableConv2D_ARM((20, 10, 1), filters=4, regularizer=None).losses == []
