"""A program that prints endlessly does not fill the memory."""

from launcher.emulator.runtime.console import Console


def test_beginning_and_end_are_kept() -> None:
    console = Console(most_kept=100)
    for number in range(1000):
        console.add(f"line {number}\n")
    text = console.text
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 998\nline 999\n")
    assert "characters are not kept]\n" in text
    assert len(text) < 300
    assert console.lines == 1000


def test_what_is_short_is_kept_as_it_is() -> None:
    console = Console()
    for line in ("a\n", "b\n", "c"):
        console.add(line)
    assert console.text == "a\nb\nc"
