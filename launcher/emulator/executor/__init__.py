"""The executor process: runs one submitted pipeline proto on Beam's FnApiRunner.

The only part of the emulator that imports Beam. It is told what to do by one line on its standard
input (``order``) and tells what happens in lines on its standard output (``events``); these two
modules are all that the emulator itself imports from here.
"""
