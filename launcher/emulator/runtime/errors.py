"""The errors that end a job: one base class for all processes."""

from __future__ import annotations


class JobFailedError(Exception):
    """Ends a job; the messages say why, then what to change."""

    def __init__(self, *messages: str) -> None:
        super().__init__(messages[0])
        self.messages = messages


class WorkflowFailedError(JobFailedError):
    """Ends a job in Dataflow's words; what to change may follow the cause."""

    def __init__(self, cause: str, *remedies: str) -> None:
        super().__init__(f"Workflow failed. Causes: {cause}", *remedies)


class LaunchFailedError(JobFailedError):
    """Ends a launch without a job.

    Args:
        service_text: what Dataflow says.
        remedy: what to change.
        program_text: the last output of the program itself.
    """

    def __init__(self, service_text: str, remedy: str, program_text: str = "") -> None:
        super().__init__(*filter(None, (program_text, service_text, remedy)))
        self.service_text = service_text
