"""Tests of the block formats and of the graph, against an independent dequantizer and a forward pass in plain numpy.

Run with the runner's own Python: `python -m unittest test_onnxruntime` in this folder.
"""

from __future__ import annotations

import math
import struct
import tempfile
import unittest
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from blocks import FORMATS, IQ4_NL_VALUES, read_blocks, stacked
from numpy.typing import NDArray

# Where a format keeps its halves. Everything else in a block may be any byte.
HALVES_AT = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "IQ4_NL": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
}  # fmt: skip

N_VOCAB, D_MODEL, D_FF, N_HEADS, N_KV_HEADS, N_LAYERS = 96, 256, 512, 4, 2, 2
HEAD_DIM, EPSILON, ROPE_BASE = D_MODEL // N_HEADS, 1e-5, 10000.0


def random_rows(format_name: str, n_rows: int, n_cols: int, scale: float = 0.1) -> NDArray[np.uint8]:
    """Stored rows of random blocks, whose halves are about `scale`."""
    rng = np.random.default_rng(len(format_name) + n_rows + n_cols)
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[format_name]]
    blocks = rng.integers(0, 256, (n_rows * n_cols // n_values, n_bytes), dtype=np.uint8)
    for at in HALVES_AT[format_name]:
        halves = (rng.standard_normal(len(blocks)) * scale).astype(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(n_rows, -1)


class BlockFormats(unittest.TestCase):
    def test_weights_are_those_of_an_independent_dequantizer(self) -> None:
        self.assertEqual(FORMATS.keys(), HALVES_AT.keys())
        for name in FORMATS:
            with self.subTest(name):
                rows = random_rows(name, 5, 512)
                wanted = gguf.dequantize(rows, gguf.GGMLQuantizationType[name])
                blocks = read_blocks(name, rows)
                assert blocks is not None
                np.testing.assert_array_equal(blocks.dequantized().shape, wanted.shape)
                # A sum of two f32 may round where the file's own formula does not.
                tolerance = 0 if blocks.offsets is None else 1e-6 * float(np.abs(wanted).max())
                np.testing.assert_allclose(blocks.dequantized(), wanted, rtol=0, atol=tolerance)

    def test_a_q4_0_block_by_hand(self) -> None:
        scale = 0.375
        stored = struct.pack("<e16B", scale, *range(0x10, 0x100, 0x0F))
        blocks = read_blocks("Q4_0", np.frombuffer(stored, dtype=np.uint8).reshape(1, -1))
        assert blocks is not None
        packed = blocks.packed()[0].tolist()
        # The operator's order: value i in byte i / 2, the even one in the lower half, 8 standing for zero.
        operator = [scale * ((packed[i // 2] >> (4 * (i % 2)) & 15) - 8) for i in range(32)]
        # The file's order: values 0 to 15 in the lower halves, 16 to 31 in the upper ones.
        file = [scale * ((stored[2 + i % 16] >> (4 * (i // 16)) & 15) - 8) for i in range(32)]
        self.assertEqual(operator, file)
        self.assertEqual(float(blocks.scales[0, 0]), scale)

    def test_stacked_rows_stay_what_they_were(self) -> None:
        parts = [read_blocks("Q4_1", random_rows("Q4_1", n_rows, 256)) for n_rows in (3, 4)]
        assert parts[0] is not None and parts[1] is not None
        both = stacked([parts[0], parts[1]])
        wanted = np.concatenate([part.dequantized() for part in parts if part is not None])
        np.testing.assert_array_equal(both.dequantized(), wanted)
        other = read_blocks("Q4_0", random_rows("Q4_0", 3, 256))
        assert other is not None
        self.assertTrue(parts[0].like(parts[1]))
        self.assertFalse(parts[0].like(other), "one has offsets, the other has none")

    def test_unknown_formats_have_no_codes(self) -> None:
        self.assertIsNone(read_blocks("F16", np.zeros((1, 4), dtype=np.uint8)))
        self.assertTrue((np.diff(IQ4_NL_VALUES) > 0).all())


def write_model(path: Path, matrices: dict[str, str], tied: bool) -> None:
    """A llama of random weights; `matrices` gives formats by the last part of a name, `F32` where it says nothing."""
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(D_MODEL)
    writer.add_block_count(N_LAYERS)
    writer.add_feed_forward_length(D_FF)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(EPSILON)

    def add(name: str, n_rows: int, n_cols: int) -> None:
        kind = matrices.get(name.split(".")[-2], "F32")
        if kind == "F32":
            writer.add_tensor(name, rng.standard_normal((n_rows, n_cols)).astype(np.float32) / math.sqrt(n_cols))
        else:
            ggml_type = gguf.GGMLQuantizationType[kind]
            spread = float(gguf.dequantize(random_rows(kind, 64, 256, scale=1), ggml_type).std())
            rows = random_rows(kind, n_rows, n_cols, scale=1 / math.sqrt(n_cols) / spread)
            writer.add_tensor(name, rows, raw_dtype=ggml_type)

    def add_gain(name: str) -> None:
        writer.add_tensor(name, 1 + rng.standard_normal(D_MODEL).astype(np.float32) / 4)

    add("token_embd.weight", N_VOCAB, D_MODEL)
    for layer in range(N_LAYERS):
        add_gain(f"blk.{layer}.attn_norm.weight")
        add(f"blk.{layer}.attn_q.weight", D_MODEL, D_MODEL)
        add(f"blk.{layer}.attn_k.weight", N_KV_HEADS * HEAD_DIM, D_MODEL)
        add(f"blk.{layer}.attn_v.weight", N_KV_HEADS * HEAD_DIM, D_MODEL)
        add(f"blk.{layer}.attn_output.weight", D_MODEL, D_MODEL)
        add_gain(f"blk.{layer}.ffn_norm.weight")
        add(f"blk.{layer}.ffn_gate.weight", D_FF, D_MODEL)
        add(f"blk.{layer}.ffn_up.weight", D_FF, D_MODEL)
        add(f"blk.{layer}.ffn_down.weight", D_MODEL, D_FF)
    add_gain("output_norm.weight")
    if not tied:
        add("output.weight", N_VOCAB, D_MODEL)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reference_logits(path: Path, ids: list[int]) -> NDArray[np.float64]:
    """Logits at every position, [positions, n_vocab], by the architecture's formulas in f64."""
    weights = {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }

    def norm(x: NDArray[Any], name: str) -> NDArray[Any]:
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON) * weights[f"{name}.weight"]

    def rotated(x: NDArray[Any]) -> NDArray[Any]:  # [positions, heads, HEAD_DIM], pairs of neighbours
        angles = np.outer(np.arange(len(ids)), ROPE_BASE ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM))[:, None, :]
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = [even * np.cos(angles) - odd * np.sin(angles), even * np.sin(angles) + odd * np.cos(angles)]
        return np.stack(turned, axis=-1).reshape(x.shape)

    x = weights["token_embd.weight"][ids]
    mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for layer in range(N_LAYERS):
        w = {part: weights[f"blk.{layer}.{part}.weight"] for part in (
            "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"
        )}  # fmt: skip
        normed = norm(x, f"blk.{layer}.attn_norm")
        q, k, v = ((normed @ w[f"attn_{part}"].T).reshape(len(ids), -1, HEAD_DIM) for part in "qkv")
        k, v = (np.repeat(part, N_HEADS // N_KV_HEADS, axis=1) for part in (rotated(k), v))
        scores = np.einsum("qhd,khd->hqk", rotated(q), k) / math.sqrt(HEAD_DIM) + mask
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = np.einsum("hqk,khd->qhd", scores / scores.sum(axis=-1, keepdims=True), v)
        x = x + attended.reshape(len(ids), -1) @ w["attn_output"].T
        normed = norm(x, f"blk.{layer}.ffn_norm")
        gate = normed @ w["ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (normed @ w["ffn_up"].T)) @ w["ffn_down"].T
    head = weights.get("output.weight", weights["token_embd.weight"])
    return norm(x, "output_norm") @ head.T


class WholeGraph(unittest.TestCase):
    """Every model here goes through the runner's own steps: a prompt in two batches, then token by token."""

    def check(self, matrices: dict[str, str], accuracy_level: str, tolerance: float, tied: bool = False) -> None:
        from harness_runner import Job
        from runner import OnnxRuntime

        ids = np.random.default_rng(3).integers(0, N_VOCAB, 12).tolist()
        with tempfile.TemporaryDirectory() as folder:
            model, prepared = Path(folder, "model.gguf"), Path(folder, "prepared")
            prepared.mkdir()
            write_model(model, matrices, tied)
            wanted = reference_logits(model, ids)
            settings = {"accuracy_level": accuracy_level, "prepared": str(prepared)}
            backend = OnnxRuntime(settings)
            backend.prepare(model, prepared)
            job = Job(
                model_path=model, model_sha256="", prompts=[], cold_generate=0, n_generate=1, context=32,
                threads=1, kv_type="f16", batch=5, verify=None,
            )  # fmt: skip
            self.assertEqual(backend.load(job), 1)
            for _ in range(2):
                backend.clear()
                for position in range(7, len(ids)):
                    token = backend.prefill(ids[:8]) if position == 7 else backend.decode(ids[position])
                    got = backend.logits()
                    error = np.abs(got - wanted[position]).max() / np.abs(wanted[position]).max()
                    self.assertLess(error, tolerance, f"position {position}")
                    self.assertEqual(token, int(got.argmax()))

    def test_f32_everywhere(self) -> None:
        self.check({}, "1", 1e-5)

    def test_one_format_at_a_time_in_the_matrices(self) -> None:
        for name in FORMATS:
            parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
            with self.subTest(name):
                self.check(dict.fromkeys(parts, name), "1", 1e-4)

    def test_a_mixture_as_quantizers_make_it(self) -> None:
        mixture = {
            "token_embd": "Q4_0", "attn_q": "Q4_K", "attn_k": "Q4_K", "attn_v": "Q6_K", "attn_output": "Q4_1",
            "ffn_gate": "Q4_0", "ffn_up": "Q5_1", "ffn_down": "Q8_0", "output": "Q6_K",
        }  # fmt: skip
        self.check(mixture, "1", 1e-4)
        self.check(mixture, "4", 0.05)

    def test_a_head_that_is_the_embedding(self) -> None:
        for name in ("F32", "Q8_0", "Q6_K", "Q4_1"):
            with self.subTest(name):
                self.check({"token_embd": name}, "1", 1e-4, tied=True)


if __name__ == "__main__":
    unittest.main()
