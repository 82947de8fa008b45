"""The container image: its name, how it is built and pushed, what is in it, how big it is.

Modules, from pure to effects: ``flavours`` and ``locks`` (what is installed), ``git`` and ``names``
(what it is called), ``checks``, ``size`` and ``sbom`` (what was found in it), ``engines`` (docker,
buildah, Cloud Build), ``build`` (one build, its record, its proof). The image itself is described
in ``docker/``. Nothing here imports Beam or torch: those are asked inside the image.
"""
