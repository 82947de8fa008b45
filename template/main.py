"""Flex Template entry file (FLEX_TEMPLATE_PYTHON_PY_FILE). Defines nothing: what is defined in a
main module does not exist on the workers.
"""

import sys

from template.run import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
