"""Read-only queries to the project before a launch; each module covers one noun.

A query without an answer is a WARNING, because something that could not be checked may be wrong.
"""
