"""Imports Beam's RunInference without torch in processes that only build a pipeline.

Beam imports torch, which takes a second of CPU time, for its model manager. No template uses that
manager, and an environment without torch lacks it anyway. Import this module before all others of
the template.
"""

import sys

_MODEL_MANAGER = "apache_beam.ml.inference.model_manager"

if "apache_beam.ml.inference.base" not in sys.modules:
    sys.modules[_MODEL_MANAGER] = None  # type: ignore[assignment]  # so that importing it fails
    import apache_beam.ml.inference.base  # noqa: F401

    del sys.modules[_MODEL_MANAGER]
