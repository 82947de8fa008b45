"""The container image: its name, build, push, content and size.

Modules, from pure functions to side effects: ``flavours`` and ``locks`` (what is installed),
``git`` (its version), ``plan`` (what an engine gets), ``engines`` (docker, buildah, Cloud Build),
``build`` (one build, pushed and remembered); ``probe`` and ``config`` (what was found in it),
``checks``, ``size`` and ``sbom`` (what that means), ``testing`` (all of these on one image). The
image itself is described in ``docker/``. Nothing here imports Beam or torch, because the probe
queries them inside the image.
"""
