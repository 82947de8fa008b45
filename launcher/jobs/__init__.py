"""Jobs: records, the Dataflow client, waiting, following, verifying, and why a job failed.

A REST call of Dataflow is a method of ``dataflow.Dataflow``; known failures are ``failures.json``.
"""
