"""Jobs: records, the Dataflow client, waiting, following, verification and diagnosis.

A REST call of Dataflow is a method of ``dataflow.Dataflow``; known failures are ``failures.json``.
"""
