"""What a launcher imports: Beam and the template, but not torch."""

import subprocess
import sys

from tests.support import PROJECT_ROOT


def test_a_pipeline_is_built_without_torch() -> None:
    program = (
        "import sys, template.run, template.models.fashion_mnist\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, check=True, timeout=60)
