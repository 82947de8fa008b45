"""Read-only questions to the project before a launch; one noun per module.

A question without an answer is a WARNING: what could not be checked may be wrong.
"""
