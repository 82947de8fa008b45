"""``--parameters-file``: a launch's parameters in a YAML or JSON file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from launcher.errors import InputError

_FLAG = "--parameters-file"
_NULL = "tag:yaml.org,2002:null"


def read_parameters_file(path: Path) -> dict[str, str]:
    """Return a file's parameters, each as written; a list becomes a CSV line.

    Raises:
        InputError: it cannot be read, or holds something other than names and values.
    """
    # Loaded only here, so that --help answers at once.
    import yaml  # type: ignore[import-untyped]

    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{_FLAG} {path}: cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{_FLAG} {path}: neither YAML nor JSON: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{_FLAG} {path}: expected names and values, as in 'batch_size: 256'")
    parameters: dict[str, str] = {}
    for key, value in root.value:
        where = f"{_FLAG} {path} line {key.start_mark.line + 1}: {key.value}"
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{_FLAG} {path} line {key.start_mark.line + 1}: a name must be text")
        if key.value in parameters:
            raise InputError(f"{where}: given twice")
        values = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(each, yaml.ScalarNode) for each in values):
            raise InputError(f"{where}: a parameter must be text, a number, or a list of these")
        if any(each.tag == _NULL for each in values):
            raise InputError(f"{where}: has no value; omit it, or give it one")
        if isinstance(value, yaml.SequenceNode):
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow([each.value for each in values])
            parameters[key.value] = line.getvalue()
        else:
            parameters[key.value] = value.value
    return parameters
