"""The pipeline that goes into the image: parameters, sources, model contract, inference, sinks.

Never imports ``launcher``.
"""

__version__ = "0.1.0"
