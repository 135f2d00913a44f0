"""Token ids through an interface of text: how a prompt is written so that it is read as exactly these ids, and which
ids a text that came back stands for. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATORS = range(0xE000, 0xF8FF)
"""Characters for private use: one that stands in no piece of the vocabulary separates the pieces of a prompt."""

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""What Unicode calls white space: mistral.rs takes it from the beginning of an answer."""

SPACE = "\u2581"
"""SentencePiece's mark for a space; mistral.rs gives a space back."""

BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""A piece that stands for one byte."""

BEGUN = re.compile(
    rb"(?:[\xc2-\xdf]|\xe0[\xa0-\xbf]?|[\xe1-\xec\xee\xef][\x80-\xbf]?|\xed[\x80-\x9f]?"
    rb"|\xf0(?:[\x90-\xbf][\x80-\xbf]?)?|[\xf1-\xf3](?:[\x80-\xbf]{1,2})?|\xf4(?:[\x80-\x8f][\x80-\xbf]?)?)\Z"
)
"""The beginning of a character of UTF-8 that still lacks bytes, at the end of an answer."""

TEMPLATE = "{{ messages[0]['content'] }}"
"""Chat template that puts nothing around the prompt."""


class UnusableVocabulary(Exception):
    """Prompts cannot be written in this vocabulary; the message says why."""


class Ids:
    """A vocabulary, to write prompts in and to read answers with."""

    def __init__(self, pieces: Sequence[str]) -> None:
        if len(set(pieces)) != len(pieces):
            raise UnusableVocabulary("two tokens of the vocabulary have the same text")
        used = set().union(*pieces)
        free = (chr(code) for code in SEPARATORS if chr(code) not in used)
        separator = next(free, None)
        if separator is None:
            raise UnusableVocabulary("the vocabulary uses every character for private use")
        self.pieces = pieces
        self.separator = separator
        self._bytes = [piece_bytes(piece) for piece in pieces]
        # A byte that is no character by itself has no text of its own, and is left out.
        texts = [(i, shown(part)) for i, part in enumerate(self._bytes) if is_utf8(part)]
        self._by_text = unique(texts)
        firsts = [(i, shown(part, is_first=True)) for i, part in enumerate(self._bytes) if is_utf8(part)]
        self._by_first_text = unique(firsts)

    def tokenizer(self) -> dict[str, Any]:
        """A `tokenizer.json` with the model's vocabulary that reads `prompt(ids)` as `ids` and adds nothing.

        Its decoder makes mistral.rs give every token's text back as it stands in the vocabulary.
        """
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"String": self.separator},
                "behavior": "Removed",
                "invert": False,
            },
            "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {
                "type": "WordLevel",
                "vocab": {piece: i for i, piece in enumerate(self.pieces)},
                "unk_token": self.pieces[0],
            },
        }

    def prompt(self, ids: Iterable[int]) -> str:
        """The text that `tokenizer` reads as `ids`."""
        return self.separator.join(self.pieces[i] for i in ids)

    def read(self, chunks: Sequence[str], n: int) -> list[int] | None:
        """The `n` ids of an answer that came in `chunks`; None where the texts could stand for others too."""
        if len(chunks) != n:
            return None
        texts = [self._by_text] * n
        texts[0] = self._by_first_text
        ids = [by_text.get(chunk) for by_text, chunk in zip(texts, chunks, strict=True)]
        return None if None in ids else [i for i in ids if i is not None]

    def chunk_of(self, ids: Sequence[int]) -> list[int]:
        """With which chunk, from 0, each of the `ids` of an answer is handed over: a chunk comes with every token, but
        for one that ends within a character, which comes with the token that completes it. The last token always
        brings a chunk."""
        pending, n_chunks, chunk_of = b"", 0, []
        for i in ids:
            chunk_of.append(n_chunks)
            pending += self._bytes[i]
            begun = BEGUN.search(pending)
            rest = begun.group() if begun else b""
            n_chunks += len(rest) < len(pending)
            pending = rest
        return chunk_of


def piece_bytes(piece: str) -> bytes:
    """What a piece adds to an answer."""
    return bytes([int(piece[3:5], 16)]) if BYTE.fullmatch(piece) else piece.encode("utf-8", "surrogateescape")


def is_utf8(part: bytes) -> bool:
    """Whether the bytes are whole characters."""
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(part: bytes, *, is_first: bool = False) -> str:
    """The text of a chunk that holds `part` alone."""
    text = part.decode()
    return (text.lstrip(WHITE_SPACE) if is_first else text).replace(SPACE, " ")


def unique(texts: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Ids by text, without the texts that several have."""
    by_text: dict[str, int] = {}
    several = set()
    for i, text in texts:
        if text in by_text:
            several.add(text)
        by_text[text] = i
    return {text: i for text, i in by_text.items() if text not in several}
