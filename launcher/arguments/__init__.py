"""What each command of ``flexpack`` can be told: its flags, in gcloud's words.

``launcher.commands`` holds what the commands do. Nothing here imports it, nor anything else that is
slow to load, so that ``--help`` answers at once.
"""
