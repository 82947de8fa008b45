"""A local Cloud Storage: an object store on disk, with JSON API v1.

Mirrors https://cloud.google.com/storage/docs/json_api/v1 for buckets and objects. It has no access
control, no versioning and no encryption keys; it refuses what it lacks with 501, naming it.
"""
