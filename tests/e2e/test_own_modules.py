"""A user's own modules with the names of the template's files."""

from __future__ import annotations

import os

from launcher.emulator import daemon
from tests.support import BIN, PROJECT, PROJECT_ROOT, open_storage, run

_IMAGE = "europe-west1-docker.pkg.dev/my-project/repo/own:1"
_NAMES = ("files", "options", "streaming", "sinks", "run")

_MODEL = f"""
import {", ".join(_NAMES)}
from template.model import BaseModel


class OwnModel(BaseModel):
    def load_model(self, path):
        return [module.MARK for module in ({", ".join(_NAMES)})]

    def predict(self, df):
        return [self.ensure_model()] * len(df)
"""


def test_they_are_not_shadowed(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "model.py").write_text(_MODEL)
    for name in _NAMES:
        (folder / f"{name}.py").write_text(f"MARK = 'own {name}'\n")
    images = tmp_path / "images.toml"
    images.write_text(
        f"[{_IMAGE!r}]\nworkdir = {str(folder)!r}\n"
        f"env = {{ FLEX_TEMPLATE_PYTHON_PY_FILE = '{PROJECT_ROOT}/template/main.py' }}\n"
    )
    info = daemon.start_detached(
        daemon.EmulatorOptions(
            port=0, storage_port=0, data_dir=tmp_path / "emulator", images=images
        )
    )
    try:
        bucket = open_storage(info).create_bucket("own")
        bucket.blob("in.csv").upload_from_string("a\n1\n2\n")
        env = {**os.environ, **daemon.shell_variables(info, project=PROJECT)}
        env["PATH"] = os.pathsep.join([str(BIN), env["PATH"]])
        run("flexpack", "build", "gs://own/t.json", "--image", _IMAGE, env=env)
        run(
            *("flexpack", "run", "own", "--template-file-gcs-location", "gs://own/t.json"),
            *("--staging-location", "gs://own/staging", "--wait"),
            *("--parameters=input=gs://own/in.csv", "--parameters=output=gs://own/out/p"),
            *("--parameters=model_path=gs://own/in.csv", "--parameters=model_class=model:OwnModel"),
            env=env,
        )
        (blob,) = bucket.list_blobs(prefix="out/p-0")
        marks = ",".join(f'"own {name}"' for name in _NAMES)
        assert blob.download_as_text() == "".join(
            f'{{"key":"in.csv#{row}","prediction":[{marks}]}}\n' for row in range(2)
        )
    finally:
        daemon.stop(tmp_path / "emulator")
