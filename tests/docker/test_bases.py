"""The base images: the digests that a real registry reports for their tags, written to a file."""

from __future__ import annotations

import os
import shutil
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.bases import PINS, Base, find_digest, read_bases
from launcher.image.engines.buildah import Buildah
from launcher.image.plan import ImageOptions, plan_build
from tests.docker import standins
from tests.docker.registry import PROGRAM, serve_registry
from tests.servers import QuietHandler, serve_handler
from tests.support import BIN, PROJECT_ROOT, run


@pytest.fixture
def kit(tmp_path):
    shutil.copytree(PROJECT_ROOT / "docker", tmp_path / "docker")
    (tmp_path / "template").mkdir()
    return tmp_path


def use_registry(kit, host):
    """Make the Dockerfile build on images of this registry."""
    dockerfile = kit / "docker" / "Dockerfile"
    lines = dockerfile.read_text().splitlines()
    new = [f"ARG {line[4:].partition('=')[0]}={host}/base:1" if "_IMAGE=" in line else line
           for line in lines]  # fmt: skip
    dockerfile.write_text("\n".join(new))


@pytest.mark.buildah
@pytest.mark.slow
def test_what_the_tags_stand_for_is_written_down_and_built_on(project, registry, kit):
    name = f"{registry.host}/base:1"
    made = standins.make_copy(project.build_args["LAUNCHER_IMAGE"], name)
    digest = Buildah().push(name)
    standins.run("buildah", "rmi", made)
    use_registry(kit, registry.host)
    command = (str(BIN / "flexpack"), "image", "bases")
    done = run(*command, env=os.environ, cwd=kit)
    assert f"PYTHON_IMAGE: {name}\n  no digest recorded, built by tag\n  {digest} is" in done.stdout
    assert {base.digest for base in read_bases(kit)} == {None}
    run(*command, "--move", env=os.environ, cwd=kit)
    assert {base.digest for base in read_bases(kit)} == {digest}
    done = run(*command, env=os.environ, cwd=kit)
    assert f"PYTHON_IMAGE: {name}\n  {digest}\nBEAM_IMAGE" in done.stdout
    args = plan_build(kit, ImageOptions(flavour="cpu", tag="1")).build_args
    assert args["PYTHON_IMAGE"] == args["BEAM_IMAGE"] == f"{registry.host}/base@{digest}"
    # The tag moves, and a build does not.
    made = standins.make_copy(project.build_args["BEAM_IMAGE"], name)
    moved = Buildah().push(name)
    standins.run("buildah", "rmi", made)
    done = run(*command, env=os.environ, cwd=kit)
    assert (
        f"PYTHON_IMAGE: {name}\n  {digest}\n  {moved} is the digest of the tag now" in done.stdout
    )
    assert plan_build(kit, ImageOptions(flavour="cpu", tag="1")).build_args == args
    options = ImageOptions(flavour="cpu", tag="1", build_args={"PYTHON_IMAGE": "mine:1"})
    assert plan_build(kit, options).build_args["PYTHON_IMAGE"] == "mine:1"


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_base_that_cannot_be_had_leaves_what_is_written_down(kit, tmp_path, closed):
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    with serve_registry(tmp_path / "registry", closed=closed) as registry:
        use_registry(kit, registry.host)
        written = f"# mine\n{registry.host}/base:1@sha256:{'1' * 64}\n"
        (kit / PINS).write_text(written)
        command = (str(BIN / "flexpack"), "image", "bases", "--move")
        done = run(*command, env=os.environ, cwd=kit, status=1)
        refused = "401: authentication required" if closed else "404: manifest unknown"
        assert f"refuses manifests/1 with {refused}" in done.stderr
    gone = run(*command, env=os.environ, cwd=kit, status=1)
    assert f"its registry {registry.host} does not answer: [Errno" in gone.stderr
    for failed in (done, gone):
        assert f"flexpack: PYTHON_IMAGE: {registry.host}/base: its registry" in failed.stderr
        assert "docker/bases.txt did not change" in failed.stderr
    assert (kit / PINS).read_text() == written


def test_a_digest_is_that_of_one_tag(kit):
    (base, *_) = read_bases(PROJECT_ROOT)
    (kit / PINS).write_text(f"{base.tag}-other@sha256:{'1' * 64}\n")
    assert read_bases(kit)[0].digest is None
    (kit / PINS).write_text(f"# a comment\n{base.tag}@sha256:{'1' * 64}\n")
    assert read_bases(kit)[0].digest == f"sha256:{'1' * 64}"
    (kit / PINS).write_text(f"{base.tag}\n")
    with pytest.raises(InputError, match=r"docker/bases\.txt: .*: expected TAG@sha256:DIGEST"):
        read_bases(kit)


def test_a_registry_gives_everybody_a_token():
    """Like Docker's own: https://distribution.github.io/distribution/spec/auth/token/."""

    class Registry(QuietHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            host = self.headers["Host"]
            if url.path == "/token":
                assert parse_qs(url.query) == {
                    "service": ["registry"],
                    "scope": ["repository:library/python:pull"],
                }
                self.answer(200, b'{"token": "everybody"}')
            elif self.headers.get("Authorization") != "Bearer everybody":
                scope = 'service="registry",scope="repository:library/python:pull"'
                challenge = f'Bearer realm="http://{host}/token",{scope}'
                self.answer(401, b"{}", headers={"WWW-Authenticate": challenge})
            else:
                self.answer(200 if url.path.endswith("/3.11") else 404, b'{"schemaVersion": 2}')

    with serve_handler(Registry) as port:
        name = f"localhost:{port}/library/python"
        digest = find_digest(Base("PYTHON_IMAGE", f"{name}:3.11", None))
        with pytest.raises(ImageError, match=f"{name}: its registry refuses .* with 404"):
            find_digest(Base("PYTHON_IMAGE", f"{name}:3.12", None))
    assert digest.startswith("sha256:")
