"""A separate local Dataflow with the kit's templates, and the processes of its jobs."""

import contextlib
import os
import signal
import tempfile
import time
import uuid
from pathlib import Path

from google.cloud import storage

from launcher import Dataflow, LaunchConfig, build_launch_request
from launcher.cli import main
from launcher.emulator import daemon
from launcher.jobs.records import JobState, MessageImportance
from tests.processes import find_descendants
from tests.support import PROJECT, open_storage

REGION = "us-central1"
_BUCKET = "endurance"
_DEADLINE_SEC = 180


class Rig:
    """A local Dataflow on one folder, whose variables this process has."""

    def __init__(self, folder: Path):
        self.data_dir = folder / "data"
        self._before = dict(os.environ)
        self.start()
        storage_client = open_storage(self.info)
        storage_client.create_bucket(_BUCKET)
        self.upload("model.json", b'{"version": 0}')
        for template in ("batch", "streaming"):
            command = ["build", self.spec(template), "--template", template]
            assert main([*command, "--image", "local/flexpack"]) == 0

    def start(self):
        """Start it, on the ports that it had before."""
        before = getattr(self, "info", None)
        ports = (
            {
                "port": before.dataflow_port,
                "storage_port": before.storage_port,
                "pubsub_port": before.pubsub_port,
            }
            if before
            else {"port": 0}
        )
        options = daemon.EmulatorOptions(data_dir=self.data_dir, max_jobs=2, **ports)
        self.info = daemon.start_detached(options, timeout_sec=90)
        os.environ.update(daemon.shell_variables(self.info, project=PROJECT))

    def close(self):
        daemon.stop(self.data_dir, timeout_sec=60)
        os.environ.clear()
        os.environ.update(self._before)

    def spec(self, template):
        return f"gs://{_BUCKET}/templates/{template}.json"

    def path(self, name):
        return f"gs://{_BUCKET}/{name}"

    @property
    def bucket(self) -> storage.Bucket:
        return open_storage(self.info).bucket(_BUCKET)

    def upload(self, name, content):
        self.bucket.blob(name).upload_from_string(content)
        return self.path(name)

    def find_descendants(self, needle):
        """Return its descendant processes, of any job, whose command holds ``needle``."""
        found = find_descendants(self.info.pid).items()
        return [pid for pid, command in found if needle in command and "leash.py" not in command]

    def launch(self, template, parameters):
        """Launch a template; return the job."""
        config = LaunchConfig(
            job_name=f"{template}-{uuid.uuid4().hex[:8]}",
            project=PROJECT,
            region=REGION,
            template_file_gcs_location=self.spec(template),
            staging_location=self.path("staging"),
            parameters={"model_path": self.path("model.json"), **parameters},
        )
        dataflow = Dataflow(PROJECT, REGION)
        return RunningJob(dataflow, dataflow.launch(build_launch_request(config)).id)


class RunningJob:
    """A job, and what it leaves behind."""

    def __init__(self, dataflow, job_id):
        self._dataflow = dataflow
        self.id = job_id

    @property
    def state(self):
        return self._dataflow.get(self.id).current_state

    def wait(self) -> JobState:
        """Wait until it has ended."""
        wait_until(lambda: self.state.is_terminal, f"{self.id} does not end")
        return self.state

    def drain(self):
        self._dataflow.drain(self.id)
        return self.wait()

    def texts(self, importance=MessageImportance.BASIC):
        found = self._dataflow.messages(self.id, minimum_importance=importance)
        return [message.message_text for message in found]

    def find(self, needle):
        """Return the processes of its run whose command holds ``needle``."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                log = str((process / "fd/2").readlink())
                own = self.id in command or self.id in log
                if own and needle in command and "leash.py" not in command:
                    found.append(int(process.name))
        return found

    def find_left(self):
        """Return the processes that name the job, and its temporary folders."""
        folders = [str(path) for path in Path(tempfile.gettempdir()).glob(f"flexpack-*-{self.id}")]
        return [*self.find(""), *folders]


def wait_until(condition, problem, timeout_sec=_DEADLINE_SEC):
    """Wait until a condition is true and return its value; fail when the time is up."""
    deadline = time.monotonic() + timeout_sec
    while not (value := condition()):
        assert time.monotonic() < deadline, problem
        time.sleep(0.05)
    return value


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
