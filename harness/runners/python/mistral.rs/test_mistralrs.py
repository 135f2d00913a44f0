"""Tests of how token ids pass through text. Standard library only: `python3 -m unittest test_mistralrs` in this folder,
with the folder above on PYTHONPATH."""

from __future__ import annotations

import json
import random
import unittest

from ids import BYTE, Ids, UnusableVocabulary, piece_bytes

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SENTENCEPIECE = ["<unk>", "<s>", "</s>", *BYTES, "\u2581", "a", "b", "\u2581a", "\u2581\u2581", "é", "\u2581é", "ab"]


def of_text(ids: Ids, text: str) -> list[int]:
    """What the tokenizer does: splits at the separator and looks every part up."""
    tokenizer = ids.tokenizer()
    vocab, separator = tokenizer["model"]["vocab"], tokenizer["pre_tokenizer"]["pattern"]["String"]
    return [vocab[part] for part in text.split(separator)]


def answer(ids: Ids, tokens: list[int]) -> list[str]:
    """The chunks in which mistral.rs gives `tokens`: what can no longer be completed to another character, and with the
    last token everything; white space is taken from the beginning."""
    pending, chunks = b"", []
    for nth, token in enumerate(tokens):
        pending += piece_bytes(ids.pieces[token])
        is_last = nth == len(tokens) - 1
        end = len(pending) if is_last else settled(pending)
        if end > 0 or is_last:
            text = pending[:end].decode("utf-8", "replace")
            pending = pending[end:]
            chunks.append((text if chunks else text.lstrip()).replace("\u2581", " "))
    return chunks


def settled(data: bytes) -> int:
    """How many bytes of `data` are characters, or can be part of none."""
    end = 0
    while end < len(data):
        try:
            data[end:].decode()
        except UnicodeDecodeError as error:
            end += error.start
            if error.reason == "unexpected end of data":
                break
            end += error.end - error.start
        else:
            end = len(data)
    return end


class Prompts(unittest.TestCase):
    def test_a_prompt_is_read_as_its_ids(self) -> None:
        ids = Ids(SENTENCEPIECE)
        tokens = [random.Random(1).randrange(len(SENTENCEPIECE)) for _ in range(500)]
        self.assertEqual(of_text(ids, ids.prompt(tokens)), tokens)
        self.assertEqual(of_text(ids, ids.prompt([7])), [7])

    def test_the_separator_is_in_no_piece(self) -> None:
        ids = Ids(["a", "\ue000", "b\ue001c"])
        self.assertEqual(ids.separator, "\ue002")

    def test_the_tokenizer_has_every_piece_under_its_id(self) -> None:
        tokenizer = json.loads(json.dumps(Ids(SENTENCEPIECE).tokenizer()))
        self.assertEqual(tokenizer["model"]["vocab"], {piece: i for i, piece in enumerate(SENTENCEPIECE)})
        self.assertEqual((tokenizer["added_tokens"], tokenizer["post_processor"]), ([], None))

    def test_two_pieces_of_one_text_are_refused(self) -> None:
        with self.assertRaises(UnusableVocabulary):
            Ids(["a", "b", "a"])


class Answers(unittest.TestCase):
    def setUp(self) -> None:
        self.ids = Ids(SENTENCEPIECE)

    def id(self, piece: str) -> int:
        return SENTENCEPIECE.index(piece)

    def check(self, pieces: list[str], is_told: bool) -> None:
        """The answer of these pieces, read back, and when each is handed over."""
        tokens = [self.id(piece) for piece in pieces]
        chunks = answer(self.ids, tokens)
        self.assertEqual(self.ids.read(chunks, len(tokens)), tokens if is_told else None, pieces)
        chunk_of = self.ids.chunk_of(tokens)
        self.assertEqual(len(chunk_of), len(tokens))
        self.assertEqual(chunk_of[-1], len(chunks) - 1)

    def test_pieces_are_told_by_their_text(self) -> None:
        self.check(["\u2581a", "\u2581é", "\u2581\u2581", "</s>", "ab"], True)
        self.check(["\u2581\u2581", "é"], True)

    def test_what_could_be_another_token_is_not_guessed(self) -> None:
        self.check(["ab", "<0x61>"], False)
        self.check(["ab", "b"], False)
        self.check(["<0x0A>", "ab"], False)
        self.check(["<0xC3>", "<0xA9>", "ab"], False)
        self.check(["<0x80>", "ab"], False)

    def test_a_token_within_a_character_comes_with_its_end(self) -> None:
        tokens = [self.id(piece) for piece in ["ab", "<0xE2>", "<0x82>", "<0xAC>", "b"]]
        self.assertEqual(self.ids.chunk_of(tokens), [0, 1, 1, 1, 2])
        self.assertEqual(answer(self.ids, tokens), ["ab", "€", "b"])

    def test_any_answer_is_told_or_not_guessed(self) -> None:
        draw = random.Random(2)
        for _ in range(2000):
            tokens = [draw.randrange(len(SENTENCEPIECE)) for _ in range(draw.randrange(1, 6))]
            chunks = answer(self.ids, tokens)
            self.assertIn(self.ids.read(chunks, len(tokens)), (tokens, None))
            self.assertEqual(self.ids.chunk_of(tokens)[-1], len(chunks) - 1, tokens)

    def test_bytes_of_a_byte_level_vocabulary_are_ordinary_text(self) -> None:
        ids = Ids(["Ġthe", "Ã", "Ċ", "a", "\u2581"])
        tokens = [0, 1, 2, 3, 1]
        self.assertEqual(ids.read(answer(ids, tokens), 5), tokens)
        self.assertIsNone(BYTE.fullmatch("<0x1>"))


if __name__ == "__main__":
    unittest.main()
