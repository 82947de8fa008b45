"""Programs that checks run in the image's environment: only they import torch and Beam.

Each is run by its path, with the environment's interpreter, and prints one JSON object.
"""
