"""The commands of ``flexpack``, one function each, called by ``launcher.cli``.

Only this package and ``launcher.cli`` print. A command takes the parsed arguments and returns the
exit status; what goes wrong it raises as ``launcher.errors.FlexpackError``.
"""
