"""What can be found wrong before a launch: checks that return findings, one noun per module.

The table of all checks is ``suite.CHECKS``.
"""
