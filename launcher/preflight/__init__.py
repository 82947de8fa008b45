"""Checks before a launch: each returns findings, one noun per module.

The table of all checks is ``suite.CHECKS``.
"""
