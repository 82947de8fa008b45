"""Entry of a worker process: what Beam's ``boot`` program does in a container, ahead of time.

Run by path in the interpreter of the job's image, which knows nothing of this package. Imports the
SDK harness, which takes seconds, and only then waits for the variables that tell it where to
connect: one JSON line on standard input.
"""

import json
import os
import sys

if not sys.flags.isolated:
    # The directory of the image in place of this file's own, as in a container.
    sys.path[0] = os.getcwd()  # noqa: PTH109 - a string is what belongs there

from apache_beam.runners.worker import sdk_worker_main

line = sys.stdin.readline()
if line:
    os.environ.update(json.loads(line))
    sdk_worker_main.main(sys.argv)
