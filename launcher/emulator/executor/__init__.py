"""The executor process: runs one submitted pipeline proto on Beam's FnApiRunner.

This is the only part of the emulator that imports Beam, and no module imports it: it is started as
``python -m launcher.emulator.executor``. Its input is ``runtime.execution``, its output
``runtime.events``. Only ``beam_internals`` uses Beam's private names.
"""
