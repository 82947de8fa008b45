"""Input files as blocks of rows: IDX, CSV, JSON Lines, Parquet and image files."""

from template.sources.find import check_input, find_files
from template.sources.formats import Format, find_format
from template.sources.read import ReadBlocks

__all__ = ["Format", "ReadBlocks", "check_input", "find_files", "find_format"]
