"""A project's lock: complete, and consistent with the image's own."""

from __future__ import annotations

import pytest

from launcher.errors import InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import find_lock_paths
from launcher.image.project_locks import (
    check_project_locks,
    format_project_lock,
    merge_locks,
    refuse_project_locks,
)
from launcher.image.projects import read_projects

CPU, CUDA = find_flavour("cpu"), find_flavour("cu130")
SIX = "six==1.17.0 \\\n    --hash=sha256:0\n"


@pytest.fixture
def kit(tmp_path):
    """A folder with the image's own locks."""
    for flavour in (CPU, CUDA):
        layers = find_lock_paths(flavour)
        for layer, pins in {
            "torch": f"torch=={flavour.torch_version} --hash=sha256:0\n",
            "beam": "numpy==2.4.6 --hash=sha256:0\npandas==2.3.1 --hash=sha256:0\n",
            "project": "",
        }.items():
            path = tmp_path / "kit" / layers[layer]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pins)
    return tmp_path / "kit"


@pytest.fixture
def make(tmp_path):
    def make(requirements, lock, name="own"):
        folder = tmp_path / name
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        if requirements is not None:
            (folder / "requirements.in").write_text(requirements)
        if lock is not None:
            (folder / "requirements.txt").write_text(lock)
        return folder

    return make


def check(kit, *folders, flavour=CPU):
    return [
        (found.code, found.message)
        for found in check_project_locks(kit, read_projects(folders), flavour)
    ]


@pytest.mark.parametrize(
    ("requirements", "lock"),
    [
        (None, None),
        ("# nothing yet\n", None),
        ("pandas>=2\n", None),
        (None, SIX),
        ("six>=1\n", SIX),
        ("six>=1  # text\n", format_project_lock(SIX, ["six>=1"], ["--only-binary=:all:"])),
        ("six>=1\ntorch\n", SIX + "torch==2.13.0 --hash=sha256:0\n"),
        ("six\nwinreg; sys_platform == 'win32'\n", SIX),
        (None, SIX + 'tomli==2.0 ; python_version < "3.11" --hash=sha256:0\n'),
    ],
    ids=[
        *("no-requirements", "only-comments", "the-images-own", "of-another-tool"),
        *("of-another-tool-with-requirements", "own", "any-build-of-torch"),
        *("a-requirement-for-windows", "a-pin-for-an-old-python"),
    ],
)
def test_good_locks(kit, make, requirements, lock):
    assert check(kit, make(requirements, lock)) == []


@pytest.mark.parametrize(
    ("requirements", "lock", "code", "words"),
    [
        ("six>=1\n", None, "lock-stale", "six>=1 is not locked"),
        ("six>=2\n", SIX, "lock-stale", "six>=2 is locked to 1.17.0"),
        (
            "six>=1.16\n",
            format_project_lock(SIX, ["six>=1"], []),
            "lock-stale",
            "has changed since",
        ),
        (
            "numpy<2\n",
            None,
            "lock-conflict",
            "requires numpy<2, but docker/locks/cpu/beam.txt pins",
        ),
        (
            None,
            "numpy==1.26.4 --hash=sha256:0\n",
            "lock-conflict",
            "pins numpy 1.26.4, and docker/locks/cpu/beam.txt pins 2.4.6",
        ),
        (
            None,
            "torchvision==0.28.0 --hash=sha256:0\n",
            "lock-conflict",
            "torchvision 0.28.0, which is not built for torch 2.13.0+cpu",
        ),
        (None, "six>=1\n", "lock-unpinned", "six>=1: not one version with its hashes"),
        (None, "six==1.17.0\n", "lock-unpinned", "six==1.17.0: not one version"),
        (None, "six==1.* --hash=sha256:0\n", "lock-unpinned", "six==1.*"),
        (None, "six @ file:///six.whl\n", "lock-unpinned", "six @ file:///six.whl"),
        (None, "./wheels/six.whl\n", "lock-unpinned", "./wheels/six.whl"),
    ],
    ids=[
        *("not-locked", "locked-to-another", "changed", "asks-for-another", "pins-another"),
        *("another-flavour", "range", "no-hash", "wildcard", "address", "path"),
    ],
)
def test_locks_that_are_refused(kit, make, requirements, lock, code, words):
    ((found, message),) = check(kit, make(requirements, lock))
    assert found == code
    assert words in message


def test_a_lock_fits_one_build_of_torch(kit, make):
    folder = make(None, "torchvision==0.28.0 --hash=sha256:0\n")
    assert check(kit, folder, flavour=CUDA) == []


@pytest.mark.parametrize("line", ["-r more.txt", "--index-url https://example.com", "-e ."])
def test_a_lock_refers_to_nothing(kit, make, line):
    with pytest.raises(
        InputError, match=r"requirements\.txt: -\S+: a lock may hold only versions and"
    ):
        check(kit, make(None, f"{line}\n{SIX}"))


@pytest.mark.parametrize("line", ["-r more.txt", "six @ https://example.com/six.whl", "six >"])
def test_requirements_that_cannot_be_locked(kit, make, line):
    with pytest.raises(InputError, match=r"requirements\.in: "):
        check(kit, make(f"{line}\n", SIX))


def test_a_password_in_a_requirement_is_not_repeated(kit, make):
    with pytest.raises(InputError, match=r"'https://\*\*\*@example\.com/six\.whl' is not a req"):
        check(kit, make("https://me:secret@example.com/six.whl\n", SIX))


def test_requirements_in_another_encoding(kit, make):
    folder = make(None, SIX)
    (folder / "requirements.in").write_bytes("\ufeffsix\r\n".encode())
    assert check(kit, folder) == []
    (folder / "requirements.in").write_bytes("six # café".encode("latin-1"))
    with pytest.raises(InputError, match=r"requirements\.in: is not UTF-8 at byte 9; save it"):
        check(kit, folder)


def test_a_package_that_would_hide_one_of_the_images(kit, make):
    folder = make(None, None, "numpy")
    ((code, message),) = check(kit, folder)
    assert code == "lock-conflict"
    assert "the package 'numpy' would hide numpy 2.4.6 of docker/locks/cpu/beam.txt" in message


def test_two_projects_that_contradict_each_other(kit, make):
    folders = [make(None, SIX, "one"), make(None, SIX.replace("1.17", "1.16"), "two")]
    ((code, message),) = check(kit, *folders)
    assert code == "lock-conflict"
    assert message == (
        f"{folders[1]}/requirements.txt pins six 1.16.0, and {folders[0]}/requirements.txt pins "
        "1.17.0"
    )


def test_everything_is_named_before_a_build(kit, make):
    folder = make("numpy<2\nsix\n", None)
    with pytest.raises(InputError) as failure:
        refuse_project_locks(kit, read_projects([folder]), CPU)
    assert "requires numpy<2" in str(failure.value)
    assert "six is not locked: run 'flexpack image lock --code " in str(failure.value)


def test_what_is_installed_is_what_the_image_lacks(make):
    folders = [
        make("six\nattrs\n", f"--no-binary=attrs\nattrs==25.1 --hash=sha256:1\n{SIX}", "one"),
        make(None, f"numpy==2.4.6 --hash=sha256:0\nnvidia-cublas==1 --hash=sha256:0\n{SIX}", "two"),
    ]
    kit_pins = {"numpy": "2.4.6", "torch": "2.13.0"}
    text, named = merge_locks(read_projects(folders), kit_pins)
    assert text == f"--no-binary=attrs\nattrs==25.1 \\\n    --hash=sha256:1\n{SIX}"
    assert named == ("attrs", "six")


def test_cuda_libraries_that_a_project_asks_for_are_installed(make):
    """TensorFlow and JAX need CUDA packages; the image already has those locked for torch."""
    text = "".join(
        f"nvidia-{name}==1 \\\n    --hash=sha256:0\n" for name in ("cudnn-cu12", "ml-py")
    )
    own = format_project_lock(text, ["nvidia-ml-py"], [])
    (locked,) = read_projects([make("nvidia-ml-py\n", own, "one")])
    (foreign,) = read_projects([make("nvidia-ml-py\n", text, "two")])
    with_torch = {"torch": "2.13.0"}
    assert merge_locks([locked], with_torch) == (text, ("nvidia-ml-py",))
    assert merge_locks([foreign], {}) == (text, ("nvidia-ml-py",))
    assert merge_locks([foreign], with_torch)[0] == text[text.index("nvidia-ml-py") :]
