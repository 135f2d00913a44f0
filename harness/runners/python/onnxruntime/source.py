"""A GGUF file as the graph builder reads it: the model's shape, its weights, its rotary tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from blocks import Blocks, read_blocks
from numpy.typing import NDArray


class UnsupportedModel(Exception):
    """The file holds what this graph cannot express."""


@dataclass(frozen=True)
class Config:
    """The model's shape, from the file's metadata."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    head_dim: int
    n_context: int
    epsilon: float
    rope_base: float
    rope_dims: int
    rope_divisor: float

    @staticmethod
    def read(reader: gguf.GGUFReader) -> Config:
        """Raises UnsupportedModel for another architecture, or a kind of rotary scaling that is not linear."""

        def get(key: str, default: Any = None) -> Any:
            field = reader.get_field(key)
            value = default if field is None else field.contents()
            if value is None:
                raise UnsupportedModel(f"the file has no `{key}`")
            return value

        architecture = get("general.architecture")
        if architecture != "llama":
            raise UnsupportedModel(f"architecture `{architecture}`: the graph is made for `llama` only")
        n_heads, d_model = get("llama.attention.head_count"), get("llama.embedding_length")
        head_dim = get("llama.attention.key_length", d_model // n_heads)
        scaling = get("llama.rope.scaling.type", "none")
        if scaling not in ("none", "linear"):
            raise UnsupportedModel(f"rotary scaling `{scaling}`: only `linear` is known")
        return Config(
            n_layers=get("llama.block_count"),
            n_heads=n_heads,
            n_kv_heads=get("llama.attention.head_count_kv", n_heads),
            d_model=d_model,
            head_dim=head_dim,
            n_context=get("llama.context_length"),
            epsilon=get("llama.attention.layer_norm_rms_epsilon"),
            rope_base=get("llama.rope.freq_base", 10000.0),
            rope_dims=get("llama.rope.dimension_count", head_dim),
            rope_divisor=get("llama.rope.scaling.factor", 1.0) if scaling == "linear" else 1.0,
        )


class Tensors:
    """The file's tensors by name; knows which were asked for."""

    def __init__(self, reader: gguf.GGUFReader) -> None:
        self._by_name = {tensor.name: tensor for tensor in reader.tensors}
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def n_rows(self, name: str) -> int:
        """The first index of a matrix [n_out, n_in]."""
        return int(self._take(name).shape[-1])

    def floats(self, name: str) -> NDArray[np.float32]:
        """A tensor in f32, the last index the fastest."""
        tensor = self._take(name)
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(values, dtype=np.float32).reshape(tensor.shape[::-1])

    def matrix(self, name: str) -> Blocks | NDArray[np.float32]:
        """A matrix [n_out, n_in]: in blocks, if its format has exact ones, else in f32."""
        tensor = self._take(name)
        blocks = read_blocks(tensor.tensor_type.name, np.asarray(tensor.data))
        return self.floats(name) if blocks is None else blocks

    def assert_all_taken(self) -> None:
        """Raises UnsupportedModel if the file holds weights that nobody asked for."""
        left = sorted(self._by_name.keys() - self._taken)
        if left:
            raise UnsupportedModel(f"the graph has no place for {len(left)} tensors, among them `{left[0]}`")

    def _take(self, name: str) -> gguf.ReaderTensor:
        if name not in self._by_name:
            raise UnsupportedModel(f"the file has no tensor `{name}`")
        self._taken.add(name)
        return self._by_name[name]


def rotary_tables(tensors: Tensors, config: Config) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of the rotary embedding, [n_context, rope_dims / 2] each."""
    pairs = np.arange(0, config.rope_dims, 2, dtype=np.float64)
    frequencies = config.rope_base ** (-pairs / config.rope_dims) / config.rope_divisor
    if "rope_freqs.weight" in tensors:
        frequencies /= tensors.floats("rope_freqs.weight")
    angles = np.outer(np.arange(config.n_context, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
