"""What pyproject.toml cannot say: in a wheel, some folders of the project are below launcher."""

import shutil
from pathlib import Path

from setuptools import find_namespace_packages, setup

# launcher/kit.py finds them, in a wheel and in a checkout.
_KIT_FILES = {f"launcher.kit_files.{name}": name for name in ("docker", "metadata", "template")}

# setuptools would add what an earlier build left there.
shutil.rmtree(Path(__file__).parent / "build" / "lib", ignore_errors=True)

setup(
    packages=[*find_namespace_packages(include=["launcher*", "template*"]), *_KIT_FILES],
    package_dir=_KIT_FILES,
    package_data={
        "": [
            "*.json",
            "py.typed",
            "*.html",
            "*.css",
            "*.js",
            "*.svg",
            "*.LICENSE",
            "*.in",
            ".*.in",
        ],
        **{package: ["**/*", "**/.*"] for package in _KIT_FILES},
    },
    exclude_package_data={"": ["**/__pycache__/*", "*.pyc"]},
)
