"""The recipes of docker/frameworks.md, and a small model for each, saved by its framework."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docker import standins
from tests.support import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docker" / "frameworks.md"
ROWS = "age,income\n1,10\n2,20\n3,30\n"
_BLOCK = re.compile(r"<!-- recipe: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)

_SAVE_KERAS = """
import base64
import keras, numpy

model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
model.set_weights([numpy.array([[1.0], [0.5]])])
model.save("/tmp/model.keras")
print(base64.b64encode(open("/tmp/model.keras", "rb").read()).decode())
"""
_SAVE_JAX = """
import base64
import jax
from jax import export

(rows,) = export.symbolic_shape("rows")
score = jax.jit(lambda x: x @ jax.numpy.array([[1.0], [0.5]]))
exported = export.export(score, platforms=["cpu", "cuda"])
serialized = exported(jax.ShapeDtypeStruct((rows, 2), "float32")).serialize()
print(base64.b64encode(serialized).decode())
"""


@dataclass(frozen=True)
class Framework:
    """One recipe.

    Attributes:
        folder: the folder of its project on the page.
        file_name: of its model.
        save: a program that prints such a model in base64 when it runs in the image.
    """

    folder: str
    file_name: str
    save: str

    @property
    def model_class(self) -> str:
        """The class on the page."""
        return f"{self.folder.replace('-', '_')}.model:Scorer"

    def write(self, folder: Path) -> Path:
        """Write the project, without its lock, below a folder; return the project's folder."""
        for name, text in read_recipes().items():
            if name.startswith(f"{self.folder}/"):
                standins.write(folder / name, text)
        project = folder / self.folder
        (project / self.folder.replace("-", "_") / "__init__.py").touch()
        return project

    def save_model(self, run: Callable[[str], str], folder: Path) -> Path:
        """Save a model that maps age and income to age + income / 2; return its file.

        Args:
            run: runs a program in the image and returns its output.
        """
        path = folder / self.file_name
        path.write_bytes(base64.b64decode(run(self.save).splitlines()[-1]))
        return path


FRAMEWORKS = {
    "TensorFlow": Framework("keras-scorer", "model.keras", _SAVE_KERAS),
    "JAX": Framework("jax-scorer", "model.jax", _SAVE_JAX),
}


def read_recipes() -> Mapping[str, str]:
    """Return the page's files, by path."""
    return dict(_BLOCK.findall(PAGE.read_text()))
