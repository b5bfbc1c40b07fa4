"""Run, profile and record a `.tflite` with TensorFlow Lite Micro, with the interface of silabs-mltk.

```python
from mltk.core.tflite_micro import TfliteMicro

model = TfliteMicro.load_tflite_model("my_model.tflite")
try:
    model.input(value=features)
    model.invoke()
    print(model.output())
finally:
    TfliteMicro.unload_model(model)
```
"""

from mltk_plugin_tflm.tflite_micro.tflite_micro import TfliteMicro
from mltk_plugin_tflm.tflite_micro.tflite_micro_model import (
    TfliteMicroLayerError,
    TfliteMicroModel,
    TfliteMicroProfiledLayerResult,
)
from mltk_plugin_tflm.tflite_micro.tflite_micro_model_details import TfliteMicroModelDetails

__all__ = [
    "TfliteMicro",
    "TfliteMicroLayerError",
    "TfliteMicroModel",
    "TfliteMicroModelDetails",
    "TfliteMicroProfiledLayerResult",
]
