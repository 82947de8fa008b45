"""The documents hold the figures of ``results/``, and say which ratios were missed."""

import pytest

from tests.bench.documents import Aim, build_document, build_sections, place


def test_documents_hold_the_figures():
    for path, parts in build_sections().items():
        stale = f"{path}: run python -m tests.bench.documents"
        assert build_document(path, parts) == path.read_text(encoding="utf-8"), stale


@pytest.mark.parametrize(
    ("aim", "verdict"),
    [
        (Aim("CPU", 0.95, 0.95), "reached"),
        (Aim("CPU", 0.95, 0.76), "missed by 20%"),
        (Aim("constant", 0.35, 0.30, most=True), "reached"),
        (Aim("constant", 0.35, 0.42, most=True), "missed by 20%"),
        (Aim("CPU", 3, None), "not measured"),
    ],
)
def test_an_aim_is_reached_or_missed_by_a_share(aim, verdict):
    assert aim.verdict == verdict


def test_a_document_without_marks_is_refused():
    with pytest.raises(ValueError, match="no part <!-- rows -->"):
        place("# Tests", "rows", "| a |")
