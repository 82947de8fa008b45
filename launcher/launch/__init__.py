"""One launch: its options, the environment and the request made from them, and its fallbacks.

All of it is pure; ``launcher.jobs`` sends the request.
"""
