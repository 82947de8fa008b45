"""The container image: its name, how it is built and pushed, what is in it, how big it is.

Modules, from pure to effects: ``flavours`` and ``locks`` (what is installed), ``git`` (its
version), ``plan`` (what an engine gets), ``engines`` (docker, buildah, Cloud Build),
``build`` (one build, pushed and remembered); ``probe`` and ``config`` (what was found in it),
``checks``, ``size`` and ``sbom`` (what that means), ``testing`` (all of these on one image).
The image itself is described in ``docker/``. Nothing here imports Beam or torch: those are asked
inside the image.
"""
