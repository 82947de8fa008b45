"""Google's APIs: REST records, the HTTP transport with credentials, and Cloud Storage.

Knows nothing of templates, launches or jobs. A call of the Dataflow API goes into
``launcher.jobs.dataflow``, of another API into ``launcher.preflight.live``.
"""
