"""Programs that a check runs in the environment of the image: they alone import torch and Beam.

Each is run by its path, with the environment's interpreter, and prints one JSON object.
"""
