"""``flexpack try``: the batch template on some rows, in one process, without Dataflow.

Never part of a job. ``run`` runs the pipeline and shows the result (``report``); ``watch``
runs it again whenever a file changes.
"""
