"""Flex Template entry file (FLEX_TEMPLATE_PYTHON_PY_FILE). Defines nothing: definitions in a main
module do not exist on the workers.
"""

import gc
import sys
from pathlib import Path

# Python puts the folder of this file first. With that, importing a user's own module named
# ``model`` or ``files`` would find the template's.
_own_folder = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _own_folder]

from template.run import run  # noqa: E402

if __name__ == "__main__":
    # Otherwise the interpreter takes most of a second to end, because it searches everything
    # imported.
    gc.freeze()
    sys.exit(run(sys.argv[1:]))
