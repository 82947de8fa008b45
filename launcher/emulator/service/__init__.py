"""Dataflow's REST API and the metadata server.

``operations`` is the table of the implemented methods, ``methods`` implements them,
``launch_rules`` validates launches. The official discovery document judges requests and answers
(``discovery``, ``schema``); the job store keeps what is known about jobs, which ``runtime`` runs.
"""
