"""One launch: its options, its environment and request, and its fallbacks.

Everything here is pure; ``launcher.jobs`` sends the request.
"""
