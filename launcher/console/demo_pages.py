"""The demo, for users without a model: the files that ``make demo`` puts into Cloud Storage."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from launcher.console.apis import ApiRefusal, Apis
from launcher.console.page import Answer, Console, Redirect, Visit
from launcher.console.template_pages import suggest_job_name
from launcher.package.metadata import build_template_metadata
from launcher.package.spec import build_container_spec, format_spec
from template.parameters import BATCH

_BUCKET = "flexpack-demo"
_SPEC = "templates/batch.json"
_IMAGES = "data/garments-images-idx3-ubyte.gz"
_WEIGHTS = "data/garments.pth"
_TIMEOUT_SEC = 300.0
_STATUS_CONFLICT = 409


def set_up_demo(console: Console, visit: Visit) -> Answer:
    """Put the demo into Cloud Storage, and show its form, filled in.

    Blocks for some seconds while garments are drawn and a network is trained on them, unless that
    has been done.
    """
    apis = console.apis
    try:
        apis.create_bucket(_BUCKET, visit.project)
    except ApiRefusal as refusal:
        if refusal.status != _STATUS_CONFLICT:
            raise
    if not (_exists(apis, _IMAGES) and _exists(apis, _WEIGHTS)):
        _draw_and_train(apis)
    spec = build_container_spec(image="local/flexpack", metadata=build_template_metadata(BATCH))
    apis.write_object(_BUCKET, _SPEC, format_spec(spec).encode())
    root = f"gs://{_BUCKET}"
    job_name = suggest_job_name("fashion")
    query = {
        "template": f"{root}/{_SPEC}",
        "job_name": job_name,
        "p.input": f"{root}/{_IMAGES}",
        "p.model_path": f"{root}/{_WEIGHTS}",
        "p.output": f"{root}/predictions/{job_name}",
        "e.staging_location": f"{root}/staging",
    }
    if visit.project != console.project:
        query["project"] = visit.project
    return Redirect(f"/launch?{urlencode(query)}")


def _exists(apis: Apis, name: str) -> bool:
    return any(each["name"] == name for each in apis.list_all(f"b/{_BUCKET}/o", prefix=name))


def _draw_and_train(apis: Apis) -> None:
    with tempfile.TemporaryDirectory(prefix="flexpack-demo-") as folder:
        # A separate process imports torch.
        command = [sys.executable, "-m", "template.demo.train", folder]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ApiRefusal(500, f"The demo's network was not trained in time: {error}") from error
        if done.returncode:
            raise ApiRefusal(500, f"The demo cannot be made here:\n{done.stderr[-2000:]}")
        for path in Path(folder).iterdir():
            apis.write_object(_BUCKET, f"data/{path.name}", path.read_bytes())
