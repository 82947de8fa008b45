"""The recipes that ``bench_image.py`` builds are those of docker/frameworks.md."""

from __future__ import annotations

import ast

import pytest

from launcher.image.projects import read_projects
from tests.bench.frameworks import FRAMEWORKS, read_recipes


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_recipe_is_a_project_with_the_class_that_is_tried(name, tmp_path):
    framework = FRAMEWORKS[name]
    folder = framework.write(tmp_path)
    (project,) = read_projects([folder])
    module, _, class_name = framework.model_class.partition(":")
    assert project.packages == (module.partition(".")[0],)
    assert project.requirements.exists()
    tree = ast.parse((folder / f"{module.replace('.', '/')}.py").read_text())
    assert class_name in [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    ast.parse(framework.save)


def test_every_recipe_of_the_page_is_tried():
    assert {name.partition("/")[0] for name in read_recipes()} == {
        framework.folder for framework in FRAMEWORKS.values()
    }
