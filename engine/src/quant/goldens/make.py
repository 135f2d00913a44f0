"""Writes decode.txt: random blocks of every format and their values by the Python package `gguf`.

Run where `gguf` and numpy are installed: python3 make.py > decode.txt
"""

from importlib.metadata import version

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

SEED, N_BLOCKS = 20260401, 2
FORMATS = "F32 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL BF16".split()


def blocks(rng, kind):
    """Random bytes whose values are all finite, drawn again until they are."""
    block_len, block_bytes = GGML_QUANT_SIZES[kind]
    n_blocks = max(N_BLOCKS, 8 // block_len)
    while True:
        raw = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
        values = dequantize(raw.reshape(-1), kind).astype(np.float32).reshape(-1)
        if np.isfinite(values).all():
            return raw, values


print(f"# Made by make.py: gguf {version('gguf')} (gguf.quants.dequantize), seed {SEED}.")
print("# A line for each format with its blocks in hex, then eight values a line as the bits of f32 in hex.")
rng = np.random.default_rng(SEED)
for name in FORMATS:
    raw, values = blocks(rng, GGMLQuantizationType[name])
    print(f"{name} {raw.tobytes().hex()}")
    for line in values.view(np.uint32).reshape(-1, 8):
        print(" ".join(f"{bits:x}" for bits in line))
