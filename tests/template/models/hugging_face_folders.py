"""Small Hugging Face folders with random weights, and texts for them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_WORDS = ["good", "bad", "film", "very", "so", "the", "a", "not"]
LENGTH = 40
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": len(_SPECIAL + _WORDS),
    "max_position_embeddings": LENGTH,
}


def draw_texts(count: int, most_words: int = LENGTH - 2) -> list[str]:
    """Return texts of different lengths."""
    drawn = random.Random(6)
    return [" ".join(drawn.choices(_WORDS, k=drawn.randint(1, most_words))) for _ in range(count)]


def make_tokenizer(**settings):
    """Return a tokenizer of words, with BERT's special tokens."""
    vocabulary = {word: number for number, word in enumerate(_SPECIAL + _WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"pad_token": "[PAD]", "model_max_length": LENGTH}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names | settings)


def make_network(architecture: str, **config):
    """Return a network with random weights, large enough for predictions that differ."""
    torch.manual_seed(8)
    class_ = getattr(transformers, architecture)
    network = class_(class_.config_class(**config)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)
    return network


def save_folder(folder: Path, architecture: str, *, tokenizer=True, **config):
    """Save a network of an architecture, with a tokenizer; return the network."""
    network = make_network(architecture, **config)
    network.save_pretrained(folder)
    if tokenizer:
        make_tokenizer().save_pretrained(folder)
    return network
