"""Checks before a launch; each returns findings, and each module covers one noun.

The table of all checks is ``suite.CHECKS``.
"""
