"""The plugin in mltk."""

import mltk_plugin_models.plugin
from mltk.testing import assert_imports_light


def test_loading_the_plugin_is_quick():
    assert_imports_light("mltk_plugin_models.plugin")


def test_the_plugin_provides_the_custom_layers(mltk_plugin_manager):
    mltk_plugin_manager.register(mltk_plugin_models.plugin, "models")
    offers = mltk_plugin_manager.collect_offers("mltk_custom_objects")
    assert {"MultiScaleTemporalConvolution", "NormalBlock", "SpeechFeatures", "TransitionBlock"} <= set(
        offers
    )


def test_the_networks_have_the_names_that_specifications_import():
    import mltk.models.shared as shared
    import mltk_plugin_models.mobilenet_v1
    from mltk.models.shared import tenet
    from mltk.models.shared.kws_streaming.models import bc_resnet
    from mltk_plugin_models.bc_resnet import TransitionBlock
    from mltk_plugin_models.tenet import MultiScaleTemporalConvolution

    assert shared.MobileNetV1 is mltk_plugin_models.mobilenet_v1.MobileNetV1
    assert tenet.MultiScaleTemporalConvolution is MultiScaleTemporalConvolution
    assert bc_resnet.TransitionBlock is shared.bc_resnet.TransitionBlock is TransitionBlock
