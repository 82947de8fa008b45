"""The files of sentence-transformers, which say how a network's output becomes an embedding.

https://sbert.net/docs/sentence_transformer/usage/custom_models.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last", "max_tokens": "max"}


@dataclass(frozen=True)
class SentenceSettings:
    """How to make an embedding; None for anything that a folder does not state.

    Attributes:
        pooling: "mean", "cls", "last" or "max", or another that sentence-transformers has.
        normalize: whether it has length 1.
        max_length: of a text, in tokens.
        prompt: text that goes before every text.
    """

    pooling: str | None = None
    normalize: bool = False
    max_length: int | None = None
    prompt: str = ""


def read_settings(folder: Path) -> SentenceSettings:
    """Return a folder's settings; empty if sentence-transformers did not write it.

    Raises:
        ValueError: it has steps that only sentence-transformers implements.
    """
    if not (folder / "modules.json").exists():
        return SentenceSettings()
    pooling, normalize = None, False
    skips_prompt = False
    for step in _read(folder / "modules.json"):
        name = str(step["type"]).rpartition(".")[2]
        if name == "Pooling":
            config = _read(folder / step["path"] / "config.json")
            pooling = _read_pooling(config)
            skips_prompt = config.get("include_prompt") is False
        elif name == "Normalize":
            normalize = True
        elif name != "Transformer":
            raise ValueError(f"modules.json has the step {name}; only your own class can run it")
    network = _read(folder / "sentence_bert_config.json")
    if network.get("do_lower_case"):
        raise ValueError("sentence_bert_config.json has do_lower_case; write lower-case texts")
    prompts = _read(folder / "config_sentence_transformers.json")
    name = prompts.get("default_prompt_name")
    if name and skips_prompt:
        raise ValueError("it pools without its prompt; only a class of your own can do that")
    return SentenceSettings(
        pooling=pooling,
        normalize=normalize,
        max_length=network.get("max_seq_length"),
        prompt=prompts["prompts"][name] if name else "",
    )


def _read_pooling(config: dict[str, Any]) -> str:
    """Return the pooling; before version 5, the name of the flag that is set states it."""
    if "pooling_mode" in config:
        names = [str(config["pooling_mode"])]
    else:
        flags = (
            key.removeprefix("pooling_mode_") for key, value in config.items() if value is True
        )
        names = [each for each in flags if each != "include_prompt"]
    return " and ".join(_POOLINGS.get(name, name) for name in names)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else {}
