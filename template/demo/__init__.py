"""The demo's data: drawn garments, a network trained on them, and the report of a run.

Nothing is downloaded. The files have the formats of Fashion-MNIST and of the built-in model's
weights, so that the real ones can replace them.
"""
