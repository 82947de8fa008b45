"""Google's APIs: REST records, the HTTP transport with credentials, and Cloud Storage.

Knows nothing about templates, launches or jobs, and does not call the Dataflow API itself. To add a
call of that API, add a method to ``Dataflow`` in ``launcher.jobs.dataflow`` and its records to
``launcher.jobs.records``. Calls of other APIs are in ``launcher.preflight.live.cloud``.
"""
