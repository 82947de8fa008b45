"""Collects tracebacks that any thread logs."""

import logging
import traceback


class Tracebacks(logging.Handler):
    """Keeps them."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        if record.exc_info:
            self.texts.append("".join(traceback.format_exception(*record.exc_info)))
