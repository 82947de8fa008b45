"""The commands of ``flexpack``, one module each: its flags, one call, and what it prints.

Only this package and ``launcher.cli`` print. ``launcher.cli`` calls a module's ``add_flags``; the
handler takes the parsed arguments, returns the exit status, and raises
``launcher.errors.FlexpackError`` if something goes wrong.
"""
