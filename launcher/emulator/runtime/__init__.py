"""One run of one job: the launcher process, the executor process, and what both report.

``job_runner`` runs jobs, each in a ``job_run``. ``images`` says which interpreter of this machine
stands for a container image. The modules that the executor process shares with the emulator are
also here and need only the standard library: its input (``execution``) and its output (``events``).
"""
