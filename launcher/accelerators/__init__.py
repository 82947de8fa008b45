"""GPUs of Dataflow workers: the catalogue, their names, and what a GPU job needs besides them.

The facts (types, machines, limits, drivers) are dated data in ``catalogue.json``. To add a GPU
type, add it there.
"""
