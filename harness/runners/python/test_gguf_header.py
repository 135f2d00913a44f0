"""Tests of the reader of GGUF headers. Standard library only: `python3 -m unittest test_gguf_header` in this folder."""

from __future__ import annotations

import struct
import tempfile
import unittest
from pathlib import Path

from gguf_header import Header, NotGguf, read_header


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def file_of(version: int = 3) -> bytes:
    """A file of one piece of metadata of each kind, and two tensors."""
    metadata = [
        text("general.alignment") + struct.pack("<II", 4, 32),
        text("general.name") + struct.pack("<I", 8) + text("näme"),
        text("llama.rope.freq_base") + struct.pack("<If", 6, 0.5),
        text("tokenizer.ggml.add_bos_token") + struct.pack("<I?", 7, True),
        text("tokenizer.ggml.scores") + struct.pack("<IIQ2f", 9, 6, 2, 1.0, -2.0),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
    ]
    tensors = [
        text("output.weight") + struct.pack("<I2QIQ", 2, 64, 32, 14, 0),
        text("output_norm.weight") + struct.pack("<I1QIQ", 1, 64, 99, 4096),
    ]
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    return head + b"".join(metadata) + b"".join(tensors)


def header(data: bytes) -> Header:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return read_header(Path(file.name))


class Headers(unittest.TestCase):
    def test_everything_before_the_weights_is_read(self) -> None:
        read = header(file_of() + b"weights")
        self.assertEqual(read.formats, {"output.weight": "Q6_K", "output_norm.weight": "id 99"})
        self.assertEqual(read.pieces, ["a", "b"])
        self.assertEqual(read.metadata["general.alignment"], 32)
        self.assertEqual(read.metadata["general.name"], "näme")
        self.assertEqual(read.metadata["llama.rope.freq_base"], 0.5)
        self.assertIs(read.metadata["tokenizer.ggml.add_bos_token"], True)
        self.assertEqual(read.metadata["tokenizer.ggml.scores"], [1.0, -2.0])

    def test_what_is_no_such_file_is_refused(self) -> None:
        whole = file_of()
        for data in [b"", b"GGU", b"PK\x03\x04", file_of(version=1), *(whole[:n] for n in range(4, len(whole)))]:
            with self.assertRaises(NotGguf):
                header(data)

    def test_a_file_without_vocabulary_says_so(self) -> None:
        empty = header(b"GGUF" + struct.pack("<IQQ", 2, 0, 0))
        with self.assertRaises(NotGguf):
            _ = empty.pieces


if __name__ == "__main__":
    unittest.main()
