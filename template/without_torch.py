"""Imports Beam's RunInference, but not torch, where a pipeline is only built.

Beam imports torch, a second of CPU, for its model manager, which no template uses and which an
environment without torch lacks as well. Import this module before all others of the template.
"""

import sys

_MODEL_MANAGER = "apache_beam.ml.inference.model_manager"

if "apache_beam.ml.inference.base" not in sys.modules:
    sys.modules[_MODEL_MANAGER] = None  # type: ignore[assignment]  # so that importing it fails
    import apache_beam.ml.inference.base  # noqa: F401

    del sys.modules[_MODEL_MANAGER]
