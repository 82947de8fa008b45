"""The executor process: runs one submitted pipeline proto on Beam's FnApiRunner.

The only part of the emulator that imports Beam, and nobody imports it: it is started as
``python -m launcher.emulator.executor``. Its input is ``runtime.execution``, its output
``runtime.events``. What is private to Beam is used in ``beam_internals``.
"""
