"""Read-only queries to the project before a launch; one noun per module.

A query without an answer is a WARNING: what could not be checked may be wrong.
"""
