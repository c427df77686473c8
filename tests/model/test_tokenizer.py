"""The tokenizer that `pico` trains for itself."""

from __future__ import annotations

from nanoemox.model.tokenizer import train_tokenizer


def test_sixteen_rows_are_left_for_special_tokens() -> None:
    """Bytes, then merges up to the wanted size; the marks of chats and media come behind."""
    texts = [f"{a}{b} says {b}{c}." for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"]
    tokenizer = train_tokenizer(texts, 300)
    special = set(tokenizer.get_added_vocab())
    assert len(set(tokenizer.get_vocab()) - special) == 300 - 16
    assert 0 < len(special) <= 16 and len(tokenizer) <= 300
    text = "abij says ïjq. 𝛼"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text  # bytes stand for what was never read
