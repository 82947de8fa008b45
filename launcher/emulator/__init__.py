"""The local Dataflow: the service, its Cloud Storage, and the processes that run its jobs.

Stands beside the launcher's layers: it imports none of them, and they import only ``daemon``. A
module imports from its own room and from lower ones only::

    daemon       starts, finds and stops the process of server
    server       the process: one event loop, two ports, everything behind them
    service/     Dataflow's REST API and the metadata server
    console      starts the page's process, launcher.console, at its first visitor
    pubsub       Google's Pub/Sub emulator
    runtime/     one run of one job: its processes, and what they report
    storage/     Cloud Storage

Nobody imports ``executor/``, the process that runs a submitted pipeline: it alone imports Beam.
"""
