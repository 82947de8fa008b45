"""Problems that would fail on Dataflow are found in the image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.finding import Severity
from launcher.image.checks import check_config, check_facts
from launcher.image.probe import Attempt, Failure, ModelRun, Package, ProbedFile

LOCK = "apache-beam[gcp]==2.77.0 \\\n    --hash=sha256:0\ntorch==2.13.0+cpu \\\n"


def model_run(rows, failed):
    error = "no column 'x'" if failed else None
    return ModelRun(loaded=True, rows=rows, failed=failed, first_error=error)


def codes(findings):
    return [finding.code for finding in findings]


def test_a_good_image_passes(config, facts):
    assert check_config(config) == []
    assert check_facts(facts, config, lock=LOCK) == []


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"architecture": "arm64"}, "image-platform", "linux/arm64"),
        (
            {"entrypoint": ("/opt/google/dataflow/python_template_launcher",)},
            "image-entrypoint",
            "python_template_launcher",
        ),
        ({"entrypoint": ()}, "image-entrypoint", "no ENTRYPOINT"),
        (
            {"history": ("RUN pip install --index-url https://pypi.example.com/simple",)},
            "image-address",
            "https://pypi.example.com/simple",
        ),
        ({"labels": {"source": "git://example.com/a"}}, "image-address", "git://example.com/a"),
    ],
)
def test_configurations_that_fail(config, changes, code, words):
    (finding,) = check_config(replace(config, **changes))
    assert finding.code == code
    assert words in finding.message
    assert finding.remedy


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE", "/r.txt", "image-launch-installs"),
        ("FLEX_TEMPLATE_PYTHON_SETUP_FILE", "/setup.py", "image-launch-installs"),
        ("STORAGE_EMULATOR_HOST", "http://localhost:9101", "image-local-address"),
        ("PUBSUB_EMULATOR_HOST", "localhost:8085", "image-local-address"),
        ("PIP_INDEX_URL", "https://user:secret@pypi.example.com/simple", "image-address"),
        ("PROXY", "127.0.0.1:3128", "image-local-address"),
        ("RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT", "", "image-environment"),
        ("LD_LIBRARY_PATH", "/usr/local/cuda/lib64", "image-driver-path"),
        ("FLEX_TEMPLATE_PYTHON_PY_FILE", "", "image-entry-file"),
    ],
)
def test_variables_that_fail(config, variable, value, code):
    (finding,) = check_config(replace(config, env={**config.env, variable: value}))
    assert finding.code == code
    assert variable in finding.message


def test_any_value_that_boot_takes_for_the_default_environment(config):
    env = config.env | {"RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "true"}
    assert check_config(replace(config, env=env)) == []


def test_pythons_own_sources_are_no_secret(config):
    history = ("wget -O python.tar.xz https://www.python.org/ftp/python/3.11.9/Python.tar.xz",)
    assert check_config(replace(config, history=history)) == []


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (ProbedFile(exists=False, executable=False, readable_by_all=False, machine=None), "exist"),
        (ProbedFile(exists=True, executable=False, readable_by_all=True, machine="amd64"), "execu"),
        (ProbedFile(exists=True, executable=True, readable_by_all=True, machine="arm64"), "arm64"),
        (ProbedFile(exists=True, executable=True, readable_by_all=True, machine=None), "amd64"),
    ],
)
@pytest.mark.parametrize("name", ["boot", "launcher"])
def test_programs_that_do_not_run(config, facts, name, file, words):
    (finding,) = check_facts(replace(facts, **{name: file}), config, lock=LOCK)
    assert finding.code == f"image-{name}"
    assert words in finding.message


def test_an_entry_file_that_is_missing_or_hidden(config, facts):
    missing = ProbedFile(exists=False, executable=False, readable_by_all=False, machine=None)
    hidden = replace(missing, exists=True)
    for file, words in ((missing, "does not exist"), (hidden, "only by root")):
        (finding,) = check_facts(replace(facts, entry_file=file), config, lock=LOCK)
        assert words in finding.message


def test_versions_that_are_not_the_locks(config, facts):
    packages = (facts.packages[0], Package(name="torch", version="2.12.0"))
    found = check_facts(replace(facts, packages=packages), config, lock=LOCK)
    assert codes(found) == ["image-versions", "image-label"]
    assert "torch 2.12.0 is installed, but the lock says 2.13.0+cpu" in found[0].message


def test_an_image_without_torch_passes_and_may_hold_that_of_a_project(config, facts):
    lock = "".join(line for line in LOCK.splitlines(keepends=True) if "torch" not in line)
    labels = config.labels | {"flexpack.torch": "none"}
    own = replace(config, labels=labels)
    (beam, torch) = facts.packages
    assert check_facts(replace(facts, packages=(beam,)), own, lock=lock) == []
    with_torch = replace(facts, packages=(beam, torch), cuda_version="13.0")
    assert check_facts(with_torch, own, lock=lock) == []
    assert replace(facts, packages=(beam,)).reference == "those of Python alone"


def test_another_python_than_the_locks(config, facts):
    (finding,) = check_facts(replace(facts, python_version="3.12.1"), config, lock=LOCK)
    assert finding.code == "image-versions"
    assert finding.message == "Python is 3.12.1, but the lock is for 3.11"


def test_a_label_that_lies(config, facts):
    (finding,) = check_facts(replace(facts, cuda_version="13.0"), config, lock=LOCK)
    assert finding.message == "the label flexpack.cuda says none, and the image holds 13.0"


def test_what_pip_check_says_is_shown(config, facts):
    (finding,) = check_facts(replace(facts, pip_check="a 1 needs b>2\n"), config, lock=LOCK)
    assert finding.message == "pip check: a 1 needs b>2"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"launch": Attempt(result=None, error="Traceback: x")}, "image-launch", "Traceback: x"),
        ({"launch": Attempt(result="", error=None)}, "image-launch", "no type"),
        (
            {"prediction": Attempt(result=None, error="Traceback: y")},
            "image-prediction",
            "Traceback: y",
        ),
        (
            {"prediction": Attempt(result={"rows": 16, "differing": 3}, error=None)},
            "image-prediction",
            "3 of 16",
        ),
        (
            {
                "code_failures": (
                    Failure(name="/opt/flexpack/template/a.py", error="No module 'b'"),
                )
            },
            "image-code",
            "template/a.py cannot be imported: No module 'b'",
        ),
        (
            {"package_failures": (Failure(name="torchvision", error="libcudart.so.13"),)},
            "image-packages",
            "torchvision cannot be imported: libcudart.so.13",
        ),
        (
            {"trial": Attempt(result=None, error="Traceback: z")},
            "image-model",
            "Traceback: z",
        ),
        (
            {"trial": Attempt(result=model_run(rows=0, failed=3), error=None)},
            "image-model",
            "did not predict 3 of 3 rows; the first error: no column 'x'",
        ),
        ({"inputs": Attempt(result=None, error="no torch")}, "image-example", "no torch"),
        ({"is_virtual_environment": True}, "image-environment", "virtual environment"),
    ],
)
def test_roles_that_fail(config, facts, changes, code, words):
    (finding,) = check_facts(replace(facts, **changes), config, lock=LOCK)
    assert finding.code == code
    assert words in finding.message


def test_a_model_that_predicts_some_rows_is_not_refused(config, facts):
    good, some = (
        replace(facts, trial=Attempt(result=model_run(rows=5, failed=failed), error=None))
        for failed in (0, 2)
    )
    assert check_facts(good, config, lock=LOCK) == []
    (finding,) = check_facts(some, config, lock=LOCK)
    assert finding.severity is Severity.WARNING
    assert "did not predict 2 of 7 rows" in finding.message
