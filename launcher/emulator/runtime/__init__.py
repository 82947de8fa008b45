"""One run of one job: the launcher process, the executor process, and what both report.

``job_runner`` runs jobs, each in a ``job_run``. ``images`` says which interpreter of this machine
stands for a container image. What the executor process shares with the emulator is here too and
needs the standard library only: its input (``execution``) and its output (``events``).
"""
