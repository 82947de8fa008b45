"""Dataflow's REST API and the metadata server.

``operations`` is the table of the implemented methods, ``methods`` what they do, ``launch_rules``
what makes a launch valid. The official discovery document judges requests and answers
(``discovery``, ``schema``); the job store keeps what is known about jobs, which ``runtime`` runs.
"""
