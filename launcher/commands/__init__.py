"""The commands of ``flexpack``, one module each: its flags, one call, and what it prints.

Only this package and ``launcher.cli`` print. ``launcher.cli`` calls a module's ``add_flags``; what
runs the command takes the parsed arguments and returns the exit status, and raises what goes wrong
as ``launcher.errors.FlexpackError``.
"""
