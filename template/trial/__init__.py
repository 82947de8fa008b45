"""``flexpack try``: the batch template on some rows, in one process, without Dataflow.

Never part of a job. ``run`` runs the pipeline and shows what came of it (``report``); ``watch``
runs it again whenever a file changes.
"""
