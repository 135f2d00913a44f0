"""What stands in a GGUF file before its weights: metadata and the tensors' formats. Standard library only.

The layout is that of ggml's GGUF specification, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"GGUF"

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""How `struct` names each scalar type of the metadata, by the type's id."""
STRING, ARRAY = 8, 9

FORMATS = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0"} | {
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    20: "IQ4_NL",
    30: "BF16",
}
"""Names of the tensor formats that are told apart here, by id."""


class NotGguf(Exception):
    """The file is no GGUF file that this module reads; the message says why."""


@dataclass(frozen=True)
class Header:
    """What stands before the weights."""

    metadata: dict[str, Any]
    """Arrays as lists; text that is not UTF-8 keeps its bytes as surrogates."""
    formats: dict[str, str]
    """Format of each tensor by the tensor's name; `id 99` for one without a name here."""

    @property
    def pieces(self) -> list[str]:
        """The vocabulary's pieces by token id."""
        pieces = self.metadata.get("tokenizer.ggml.tokens")
        if not isinstance(pieces, list):
            raise NotGguf("the file has no vocabulary (`tokenizer.ggml.tokens`)")
        return pieces


def read_header(path: Path) -> Header:
    """Reads the header of the file at `path`.

    Raises NotGguf, or OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf(f"{path} does not begin like a GGUF file")
        (version,) = _scalars(file, "I")
        if version not in (2, 3):
            raise NotGguf(f"{path} is GGUF version {version}; 2 and 3 are read")
        n_tensors, n_metadata = _scalars(file, "QQ")
        metadata = {}
        for _ in range(n_metadata):
            key = _string(file)
            metadata[key] = _value(file, *_scalars(file, "I"))
        formats = {}
        for _ in range(n_tensors):
            name = _string(file)
            (n_dims,) = _scalars(file, "I")
            *_dims, format_id, _offset = _scalars(file, f"{n_dims}QIQ")
            formats[name] = FORMATS.get(format_id, f"id {format_id}")
        return Header(metadata, formats)


def _scalars(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    n_bytes = struct.calcsize("<" + layout)
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise NotGguf("the file ends within its header")
    return struct.unpack("<" + layout, data)


def _string(file: BinaryIO) -> str:
    (n_bytes,) = _scalars(file, "Q")
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise NotGguf("the file ends within its header")
    return data.decode("utf-8", "surrogateescape")


def _value(file: BinaryIO, type_id: int) -> Any:
    if type_id == STRING:
        return _string(file)
    if type_id == ARRAY:
        item_type, n = _scalars(file, "IQ")
        if item_type in SCALARS:
            return list(_scalars(file, f"{n}{SCALARS[item_type]}"))
        return [_value(file, item_type) for _ in range(n)]
    if type_id not in SCALARS:
        raise NotGguf(f"there is no metadata type {type_id}")
    return _scalars(file, SCALARS[type_id])[0]
