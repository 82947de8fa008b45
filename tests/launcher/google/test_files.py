"""Copies files to Cloud Storage and back, using the local Dataflow's Cloud Storage."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas
import pytest

from launcher.errors import InputError
from launcher.google.files import plan_uploads
from tests.support import run


def test_files_go_into_a_folder_or_become_an_object(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.touch()
    b.touch()
    assert plan_uploads([a, b], "gs://b/in/") == {"gs://b/in/a.csv": a, "gs://b/in/b.csv": b}
    assert plan_uploads([a], "gs://b/in/x.csv") == {"gs://b/in/x.csv": a}
    with pytest.raises(InputError, match="several files go into a folder: gs://b/in/"):
        plan_uploads([a, b], "gs://b/in")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/a.csv").touch()
    with pytest.raises(InputError, match="has the same name as"):
        plan_uploads([a, tmp_path / "c/a.csv"], "gs://b/in/")
    with pytest.raises(InputError, match="is a folder: copy it with --recursive"):
        plan_uploads([tmp_path / "c"], "gs://b/in/")
    with pytest.raises(InputError, match=r"no\.csv': no such file"):
        plan_uploads([tmp_path / "no.csv"], "gs://b/in/")


def test_a_folder_keeps_its_name_and_its_files_their_places(tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.json", "deep/b.bin"):
        (folder / name).touch()
    (folder / "link.bin").symlink_to(folder / "deep/b.bin")
    names = {"a.json", "deep/b.bin", "link.bin"}
    wanted = {f"gs://b/model/bundle/{name}": folder / name for name in names}
    assert plan_uploads([folder], "gs://b/model/", is_recursive=True) == wanted
    monkeypatch.chdir(folder)
    assert plan_uploads([Path()], "gs://b/model/", is_recursive=True) == wanted
    with pytest.raises(InputError, match="a folder goes into a folder: gs://b/model/"):
        plan_uploads([folder], "gs://b/model", is_recursive=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder without files"):
        plan_uploads([tmp_path / "empty"], "gs://b/model/", is_recursive=True)


def test_copy_and_show(tmp_path: Path, emulator_env: dict[str, str]):
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text(f"line {number}\nmore\n")
    files = sorted(map(str, tmp_path.iterdir()))
    done = run("flexpack", "storage", "cp", *files, "gs://copied/in/", env=emulator_env)
    assert done.stdout == "Copied 12 files to gs://copied/in/\n"

    def cat(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return run("flexpack", "storage", "cat", *arguments, env=emulator_env, status=status)

    assert cat("gs://copied/in/0*.txt", "--lines=3").stdout == "line 0\nmore\nline 1\n"
    assert cat("gs://copied/in/11.txt").stdout == "line 11\nmore\n"
    pandas.DataFrame({"key": [2**60 + 1, 2], "x": [0.5, None]}).to_parquet(tmp_path / "p.parquet")
    run("flexpack", "storage", "cp", f"{tmp_path}/p.parquet", "gs://copied/p/", env=emulator_env)
    assert cat("gs://copied/p/*", "--lines=1").stdout == '{"key":1152921504606846977,"x":0.5}\n'
    missing = cat("gs://copied/out/*", status=2)
    assert missing.stderr == "flexpack: PATTERN 'gs://copied/out/*': no object matches\n"
    nowhere = cat("gs://no-such-bucket/out/*", status=2)
    assert "there is no bucket 'no-such-bucket'" in nowhere.stderr
    assert "expected a Cloud Storage object" in cat("copied", status=2).stderr
    words = ("storage", "cp", files[0], "/tmp/x", "--project")
    assert "has no such argument" in run("flexpack", *words, env=emulator_env, status=2).stderr
    wrong = run("flexpack", "storage", "cp", files[0], "nowhere/x", env=emulator_env, status=2)
    assert wrong.stderr.startswith("flexpack: DESTINATION 'nowhere/x': expected a Cloud Storage")
