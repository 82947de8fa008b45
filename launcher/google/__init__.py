"""Google's APIs: REST records, the HTTP transport with credentials, and Cloud Storage.

Knows nothing of templates, launches or jobs.
"""
