"""A project of the user's own in the image: its packages, its requirements, Debian's packages."""

from __future__ import annotations

import pytest

from launcher.image.engines import ENGINES
from launcher.image.engines.buildah import Buildah
from launcher.image.flavours import find_flavour
from launcher.image.projects import read_projects
from launcher.image.resolve_project import write_project_lock
from launcher.image.testing import check_image
from launcher.image.trial import ModelTrial
from tests.docker.conftest import DOUBLE

pytestmark = [pytest.mark.buildah, pytest.mark.slow]

# What the lock and the system packages bring is used when the module is imported.
MODEL = f"""
import shutil
import iniconfig
assert shutil.which("bc")
{DOUBLE}"""
BROKEN = "import no_such_package\n"


@pytest.fixture(scope="module")
def code(project, tmp_path_factory):
    """A project with a model, a locked requirement and a system package."""
    folder = tmp_path_factory.mktemp("churn")
    for name, text in {
        "churn/__init__.py": "",
        "churn/__main__.py": "raise SystemExit('a program, which a test must not run')\n",
        "churn/model.py": MODEL,
        "churn/tests/test_model.py": "import pytest\n",
        "requirements.in": "iniconfig\n",
        "system-packages.txt": "bc\n",
        "model.json": '{"factor": 2}',
        "rows.csv": "x\n1\n2\n3\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    write_project_lock(project.root, *read_projects([folder]), find_flavour("cpu"))
    return folder


@pytest.fixture(scope="module", params=["buildah", "docker"])
def engine_project(request, project):
    if request.param == "docker":
        return request.getfixturevalue("docker_project")
    return project


def test_the_users_model_predicts_in_the_image_and_a_change_of_it_is_one_layer(
    engine_project, code
):
    engine = ENGINES[engine_project.engine]()
    first = engine_project.build("churn", code=(code,))
    trial = ModelTrial(
        model_class="churn.model:Double",
        model_path=str(code / "model.json"),
        input=str(code / "rows.csv"),
    )
    report = check_image(engine_project.root, first, engine, trial=trial)
    assert report.findings == ()
    assert report.facts.trial.result.rows == 3
    assert report.facts.find_version("iniconfig")

    (code / "churn" / "more.py").write_text(BROKEN)
    try:
        second = engine_project.build("churn-changed", code=(code,))
        (finding,) = check_image(engine_project.root, second, engine).findings
    finally:
        (code / "churn" / "more.py").unlink()
    assert "/opt/project/churn/more.py, line 1: ModuleNotFoundError" in finding.message
    before, after = (engine.read_config(name).diff_ids for name in (first, second))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_a_project_shares_the_layers_below_it(project, image, code):
    with_code = Buildah().read_config(project.build("churn", code=(code,))).diff_ids
    without = Buildah().read_config(image).diff_ids
    same = [mine == other for mine, other in zip(with_code, without, strict=True)]
    # The system packages, what is above them, and not the template, which has the same files.
    assert same.index(False) == len(same) - 8
    assert same[-2]
