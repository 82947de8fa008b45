"""The table of a trial."""

from __future__ import annotations

from template.trial.report import Trial, format_report


def test_a_long_key_keeps_its_end_and_a_long_value_its_begin():
    path = f"/work/{'photographs/' * 5}img_0001.jpg"
    letters = [{"key": path, "error": "E", "source": "s"}]
    trial = Trial(
        predictions=[{"key": path, "label": "a label " * 9}], dead_letters=letters,
        load_sec=0, predict_sec=0, total_sec=0, peak_bytes=0, imports_bytes=0,
    )  # fmt: skip
    _, row, _, _, letter, *_ = format_report(trial, is_cut=False).split("\n")
    cut = f"...{path[-37:]}"
    assert row == f"{cut}  {('a label ' * 9)[:37]}..."
    assert letter == f"{cut}  E  (s)"
