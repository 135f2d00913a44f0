"""GGUF's block formats as the operator MatMulNBits wants them, value for value.

A matrix becomes unsigned codes, a scale for each block and, where the format has one, an offset for each block:

    weight = scale * (code - 2 ** (bits - 1)) + offset

MatMulNBits computes the first term with the zero point it has by default. Its zero points are integers, so that an
offset cannot be one; the graph adds it as (sum of the activations of a block) * offset, see `graph.py`. The layouts are
those of ggml's `ggml-common.h`. A scale that is a product of a half and a 6- or 8-bit integer is exact in f32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Codes [n, values of a block], scales and offsets [n, scales of a block].
Decoded = tuple[NDArray[np.int16], Floats, Floats | None]

# IQ4_NL: what each of the sixteen codes stands for.
IQ4_NL_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.int16)


@dataclass(frozen=True)
class Format:
    """A block format: how it is stored in the file and how it is given to the operator."""

    stored_bytes: int
    bits: int  # Of a code for the operator: 4 or 8.
    block_size: int  # Weights that share a scale.
    decode: Callable[[Bytes], Decoded]  # Of [n, stored_bytes]; codes centred on 0.


@dataclass(frozen=True)
class Blocks:
    """A matrix [n_rows, n_cols] whose rows are cut in blocks."""

    bits: int
    block_size: int
    codes: Bytes  # [n_rows, n_cols]
    scales: Floats  # [n_rows, n_cols / block_size]
    offsets: Floats | None  # As `scales`.

    @property
    def n_rows(self) -> int:
        return self.codes.shape[0]

    @property
    def n_cols(self) -> int:
        return self.codes.shape[1]

    def packed(self) -> Bytes:
        """The codes [n_rows, n_cols * bits / 8]; of two that share a byte the first is in the lower half."""
        if self.bits == 8:
            return self.codes
        return self.codes[:, 0::2] | (self.codes[:, 1::2] << 4)

    def dequantized(self) -> Floats:
        """The weights [n_rows, n_cols]."""
        per_block = (self.n_rows, -1, self.block_size)
        centred = self.codes.reshape(per_block).astype(np.float32) - np.float32(2 ** (self.bits - 1))
        weights = centred * self.scales[:, :, None]
        if self.offsets is not None:
            weights += self.offsets[:, :, None]
        return weights.reshape(self.codes.shape)

    def like(self, other: Blocks) -> bool:
        """Whether both can be rows of one matrix."""
        mine = (self.bits, self.block_size, self.n_cols, self.offsets is None)
        return mine == (other.bits, other.block_size, other.n_cols, other.offsets is None)


def read_blocks(format_name: str, rows: Bytes) -> Blocks | None:
    """The matrix with the stored `rows` [n_rows, bytes of a row]; None if the format has no exact codes here."""
    known = FORMATS.get(format_name)
    if known is None:
        return None
    codes, scales, offsets = known.decode(rows.reshape(-1, known.stored_bytes))
    n_rows = rows.shape[0]
    return Blocks(
        bits=known.bits,
        block_size=known.block_size,
        codes=(codes + 2 ** (known.bits - 1)).astype(np.uint8).reshape(n_rows, -1),
        scales=scales.reshape(n_rows, -1),
        offsets=None if offsets is None else offsets.reshape(n_rows, -1),
    )


def stacked(parts: Sequence[Blocks]) -> Blocks:
    """One matrix with the rows of all `parts`, which must be alike."""
    first = parts[0]
    offsets = None
    if first.offsets is not None:
        offsets = np.concatenate([part.offsets for part in parts if part.offsets is not None])
    return Blocks(
        bits=first.bits,
        block_size=first.block_size,
        codes=np.concatenate([part.codes for part in parts]),
        scales=np.concatenate([part.scales for part in parts]),
        offsets=offsets,
    )


def _half(raw: Bytes, at: int) -> Floats:
    """The half-precision number at byte `at` of each block, [n, 1]."""
    return np.ascontiguousarray(raw[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(raw: Bytes) -> NDArray[np.int16]:
    """Lower halves of all bytes, then upper halves."""
    return np.concatenate([raw & 15, raw >> 4], axis=1).astype(np.int16)


def _high_bits(raw: Bytes) -> NDArray[np.int16]:
    """32 bits from 4 bytes, the lowest first."""
    return np.unpackbits(raw, axis=1, bitorder="little").astype(np.int16)


def _planes(raw: Bytes, shifts: Sequence[int], width: int, mask: int) -> NDArray[np.int16]:
    """For each group of `width` bytes all its fields at the first shift, then at the next: [n, all fields]."""
    groups = raw.reshape(raw.shape[0], -1, 1, width)
    fields = (groups >> np.array(shifts, dtype=np.uint8).reshape(1, 1, -1, 1)) & mask
    return fields.reshape(raw.shape[0], -1).astype(np.int16)


def _scales_and_minima(raw: Bytes) -> tuple[Floats, Floats]:
    """Eight 6-bit scales and eight 6-bit minima from the 12 bytes of Q4_K and Q5_K."""
    low, mid, high = raw[:, 0:4], raw[:, 4:8], raw[:, 8:12]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    minima = np.concatenate([mid & 63, (high >> 4) | ((mid >> 6) << 4)], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _q4_0(raw: Bytes) -> Decoded:
    return _nibbles(raw[:, 2:]) - 8, _half(raw, 0), None


def _q4_1(raw: Bytes) -> Decoded:
    scale = _half(raw, 0)
    return _nibbles(raw[:, 4:]) - 8, scale, _half(raw, 2) + 8 * scale


def _q5_0(raw: Bytes) -> Decoded:
    return (_nibbles(raw[:, 6:]) | (_high_bits(raw[:, 2:6]) << 4)) - 16, _half(raw, 0), None


def _q5_1(raw: Bytes) -> Decoded:
    scale = _half(raw, 0)
    codes = (_nibbles(raw[:, 8:]) | (_high_bits(raw[:, 4:8]) << 4)) - 16
    return codes, scale, _half(raw, 2) + 16 * scale


def _q8_0(raw: Bytes) -> Decoded:
    return raw[:, 2:].view(np.int8).astype(np.int16), _half(raw, 0), None


def _iq4_nl(raw: Bytes) -> Decoded:
    return IQ4_NL_VALUES[_nibbles(raw[:, 2:])], _half(raw, 0), None


def _q2_k(raw: Bytes) -> Decoded:
    scale = _half(raw, 80) * (raw[:, :16] & 15).astype(np.float32)
    minimum = _half(raw, 82) * (raw[:, :16] >> 4).astype(np.float32)
    return _planes(raw[:, 16:80], (0, 2, 4, 6), 32, 3) - 2, scale, 2 * scale - minimum


def _q3_k(raw: Bytes) -> Decoded:
    high = _planes(raw[:, :32], range(8), 32, 1)
    codes = (_planes(raw[:, 32:96], (0, 2, 4, 6), 32, 3) | (high << 2)) - 4
    packed = raw[:, 96:108]
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    top = _planes(packed[:, 8:], (0, 2, 4, 6), 4, 3)
    scales = (low.astype(np.int16) | (top << 4)) - 32
    return codes, _half(raw, 108) * scales.astype(np.float32), None


def _q4_k(raw: Bytes) -> Decoded:
    scales, minima = _scales_and_minima(raw[:, 4:16])
    scale = _half(raw, 0) * scales
    return _planes(raw[:, 16:], (0, 4), 32, 15) - 8, scale, 8 * scale - _half(raw, 2) * minima


def _q5_k(raw: Bytes) -> Decoded:
    scales, minima = _scales_and_minima(raw[:, 4:16])
    scale = _half(raw, 0) * scales
    high = _planes(raw[:, 16:48], range(8), 32, 1)
    codes = (_planes(raw[:, 48:], (0, 4), 32, 15) | (high << 4)) - 16
    return codes, scale, 16 * scale - _half(raw, 2) * minima


def _q6_k(raw: Bytes) -> Decoded:
    low, high = raw[:, :128], raw[:, 128:192]
    codes = (_planes(low, (0, 4), 64, 15) | (_planes(high, (0, 2, 4, 6), 32, 3) << 4)) - 32
    return codes, _half(raw, 208) * raw[:, 192:208].view(np.int8).astype(np.float32), None


# Formats with exact codes. Any other one is dequantized to f32 by the graph builder.
FORMATS = {
    "Q4_0": Format(stored_bytes=18, bits=4, block_size=32, decode=_q4_0),
    "Q4_1": Format(stored_bytes=20, bits=4, block_size=32, decode=_q4_1),
    "Q5_0": Format(stored_bytes=22, bits=8, block_size=32, decode=_q5_0),
    "Q5_1": Format(stored_bytes=24, bits=8, block_size=32, decode=_q5_1),
    "Q8_0": Format(stored_bytes=34, bits=8, block_size=32, decode=_q8_0),
    "IQ4_NL": Format(stored_bytes=18, bits=8, block_size=32, decode=_iq4_nl),
    "Q2_K": Format(stored_bytes=84, bits=4, block_size=16, decode=_q2_k),
    "Q3_K": Format(stored_bytes=110, bits=4, block_size=16, decode=_q3_k),
    "Q4_K": Format(stored_bytes=144, bits=4, block_size=32, decode=_q4_k),
    "Q5_K": Format(stored_bytes=176, bits=8, block_size=32, decode=_q5_k),
    "Q6_K": Format(stored_bytes=210, bits=8, block_size=16, decode=_q6_k),
}
