"""Why a pipeline is not executed, or not any more; the messages are for the job's messages."""


class UnsupportedPipelineError(Exception):
    """The pipeline needs what the local Dataflow does not have."""


class MissingResourceError(Exception):
    """A topic or subscription that the job needs does not exist."""


class BadMessageError(Exception):
    """A message lacks what the pipeline's read step wants of it."""
