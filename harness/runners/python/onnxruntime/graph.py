"""Makes an ONNX graph of a GGUF file: the weights in one file, the graph in another for each accuracy level.

The architecture is llama's: RMS norm, rotary grouped-query attention, SwiGLU. Matrices in blocks stay in blocks
(`blocks.py`), everything else becomes f32; either way the weights are those of the file, to the last bit of an f32.
Tensors are [batch = 1, positions, features]. The operators are ONNX Runtime's own (domain com.microsoft), as its model
builder uses them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
import onnx
from blocks import Blocks, stacked
from numpy.typing import NDArray
from source import Config, Tensors, rotary_tables

CONTRIB = "com.microsoft"
OPSET, CONTRIB_OPSET, IR_VERSION = 21, 1, 10

# For MatMulNBits, what a product may round the activations to: 1 keeps f32, 4 allows int8 in blocks.
ACCURACY_LEVELS = (1, 4)

WEIGHTS_FILE = "weights.bin"
ALIGNMENT_BYTES = 4096  # A page, so that each tensor can be mapped by itself.

FLOAT, INT32, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.INT64


def build(model: Path, out: Path) -> None:
    """Writes the weights and the graphs of the GGUF file `model` into the directory `out`.

    Raises UnsupportedModel.
    """
    reader = gguf.GGUFReader(model)
    with (out / WEIGHTS_FILE).open("wb") as weights:
        graph = Graph(Tensors(reader), weights)
        proto = llama(graph, Config.read(reader))
        graph.tensors.assert_all_taken()
    for level in ACCURACY_LEVELS:
        for node in proto.graph.node:
            for attribute in node.attribute:
                if attribute.name == "accuracy_level":
                    attribute.i = level
        (out / graph_file(level)).write_bytes(proto.SerializeToString())


def graph_file(accuracy_level: int) -> str:
    """The name of a graph in the prepared directory."""
    return f"accuracy-{accuracy_level}.onnx"


class Graph:
    """Collects nodes, and weights in a file beside the graph. Methods take and return names of values."""

    def __init__(self, tensors: Tensors, weights: BinaryIO) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = weights
        self._places: dict[str, tuple[int, int]] = {}  # Key of stored bytes: offset, length.
        self._sums: dict[tuple[str, int], str] = {}

    def node(self, op: str, inputs: list[str], n_outputs: int = 1, domain: str = "", **attributes: Any) -> list[str]:
        """Appends a node; an input may be "" where the operator lets it out."""
        outputs = [f"{op}_{len(self.nodes)}_{i}" for i in range(n_outputs)]
        self.nodes.append(onnx.helper.make_node(op, inputs, outputs, domain=domain, **attributes))
        return outputs

    def small(self, name: str, values: NDArray[Any]) -> str:
        """A constant in the graph itself."""
        if all(constant.name != name for constant in self.constants):
            self.constants.append(onnx.numpy_helper.from_array(values, name))
        return name

    def stored(self, name: str, values: NDArray[Any], key: str = "", shape: tuple[int, ...] = ()) -> str:
        """A constant in the weights file. With a `key` that was stored before, its bytes serve again."""
        key = key or name
        if key not in self._places:
            self._weights.write(bytes(-self._weights.tell() % ALIGNMENT_BYTES))
            self._places[key] = (self._weights.tell(), values.nbytes)
            self._weights.write(np.ascontiguousarray(values).data)
        offset, length = self._places[key]
        proto = onnx.TensorProto(name=name, dims=shape or values.shape, data_location=onnx.TensorProto.EXTERNAL)
        proto.data_type = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        for field, value in (("location", WEIGHTS_FILE), ("offset", offset), ("length", length)):
            proto.external_data.add(key=field, value=str(value))
        self.constants.append(proto)
        return name

    def embedding(self, name: str, ids: str) -> str:
        """Rows of a table [n_vocab, d]."""
        table = self.tensors.matrix(name)
        if not isinstance(table, Blocks) or table.offsets is not None:
            return self.node("Gather", [self.stored(f"{name}.rows", self.tensors.floats(name)), ids])[0]
        codes = self.stored(f"{name}.rows", table.packed(), key=f"{name}.codes")
        scales = self.stored(f"{name}.row_scales", table.scales, key=f"{name}.scales")
        sizes = {"bits": table.bits, "block_size": table.block_size, "quantize_axis": 1, "gather_axis": 0}
        return self.node("GatherBlockQuantized", [codes, ids, scales], domain=CONTRIB, **sizes)[0]

    def products(self, x: str, names: list[str]) -> list[str]:
        """`x` times each of the matrices: one product if they are alike, so that its result is all of theirs."""
        matrices = [self.tensors.matrix(name) for name in names]
        blocks = [matrix for matrix in matrices if isinstance(matrix, Blocks)]
        if len(blocks) == len(matrices) and all(matrix.like(blocks[0]) for matrix in blocks):
            return [self._block_product(x, "+".join(names), stacked(blocks))]
        return [self._product(x, name, matrix) for name, matrix in zip(names, matrices, strict=True)]

    def _product(self, x: str, name: str, matrix: Blocks | NDArray[np.float32]) -> str:
        if isinstance(matrix, Blocks):
            return self._block_product(x, name, matrix)
        return self.node("MatMul", [x, self.stored(f"{name}.transposed", matrix.T)])[0]

    def _block_product(self, x: str, name: str, matrix: Blocks) -> str:
        n_blocks = matrix.scales.shape[1]
        shape = (matrix.n_rows, n_blocks, matrix.block_size * matrix.bits // 8)
        codes = self.stored(f"{name}.codes", matrix.packed(), shape=shape)
        scales = self.stored(f"{name}.scales", matrix.scales)
        sizes = {"K": matrix.n_cols, "N": matrix.n_rows, "bits": matrix.bits, "block_size": matrix.block_size}
        y = self.node("MatMulNBits", [x, codes, scales], domain=CONTRIB, accuracy_level=0, **sizes)[0]
        if matrix.offsets is None:
            return y
        sums = self._block_sums(x, n_blocks, matrix.block_size)
        offsets = self.node("MatMul", [sums, self.stored(f"{name}.offsets", matrix.offsets.T)])[0]
        return self.node("Add", [y, offsets])[0]

    def _block_sums(self, x: str, n_blocks: int, block_size: int) -> str:
        """The sum of `x` in each block, [1, positions, n_blocks]; once for all products of the same `x`."""
        if (x, block_size) not in self._sums:
            shape = self.small(f"blocks_{n_blocks}_{block_size}", np.array([0, 0, n_blocks, block_size]))
            blocks = self.node("Reshape", [x, shape])[0]
            axes = self.small("last_axis", np.array([-1]))
            self._sums[x, block_size] = self.node("ReduceSum", [blocks, axes], keepdims=0)[0]
        return self._sums[x, block_size]

    def norm(self, name: str, x: str, delta: str | None, epsilon: float) -> tuple[str, str]:
        """RMS norm of the residual stream `x` + `delta`; returns it and the new stream."""
        gain = self.small(name, self.tensors.floats(name))
        if delta is None:
            return self.node("SimplifiedLayerNormalization", [x, gain], axis=-1, epsilon=epsilon)[0], x
        outputs = self.node("SkipSimplifiedLayerNormalization", [x, delta, gain], 4, CONTRIB, epsilon=epsilon)
        self.nodes[-1].output[1], self.nodes[-1].output[2] = "", ""
        return outputs[0], outputs[3]


def llama(graph: Graph, config: Config) -> onnx.ModelProto:
    """The whole model. Inputs: ids, positions so far, the KV cache; outputs: the last position's logits, the cache."""
    layers = range(config.n_layers)
    cosines, sines = rotary_tables(graph.tensors, config)
    graph.stored("cosines", cosines)
    graph.stored("sines", sines)
    x, delta = graph.embedding("token_embd.weight", "ids"), None
    for layer in layers:
        normed, x = graph.norm(f"blk.{layer}.attn_norm.weight", x, delta, config.epsilon)
        attended = attention(graph, config, layer, normed)
        if layer == config.n_layers - 1:
            # Nothing but the cache depends on the other positions from here on.
            last = graph.small("last", np.array([-1]))
            attended, x = (graph.node("Gather", [value, last], axis=1)[0] for value in (attended, x))
        delta = graph.products(attended, [f"blk.{layer}.attn_output.weight"])[0]
        normed, x = graph.norm(f"blk.{layer}.ffn_norm.weight", x, delta, config.epsilon)
        delta = feed_forward(graph, layer, normed)
    normed, _ = graph.norm("output_norm.weight", x, delta, config.epsilon)
    head = "output.weight" if "output.weight" in graph.tensors else "token_embd.weight"
    graph.products(normed, [head])
    graph.nodes[-1].output[0] = "logits"

    def info(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    kv: list[int | str] = [1, config.n_kv_heads, "context", config.head_dim]
    past = [info(f"past_{part}_{layer}", FLOAT, kv) for layer in layers for part in ("key", "value")]
    present = [info(f"present_{part}_{layer}", FLOAT, kv) for layer in layers for part in ("key", "value")]
    ids = info("ids", INT64, [1, "positions"])
    lengths = [info("last_position", INT32, [1]), info("n_positions", INT32, [])]
    outputs = [info("logits", FLOAT, [1, 1, graph.tensors.n_rows(head)]), *present]
    made = onnx.helper.make_graph(graph.nodes, "llama", [ids, *lengths, *past], outputs, graph.constants)
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(CONTRIB, CONTRIB_OPSET)]
    model = onnx.helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.helper.set_model_props(model, {"n_context": str(config.n_context)})
    return model


def attention(graph: Graph, config: Config, layer: int, x: str) -> str:
    """Grouped-query attention over `x` and the cache, before its output matrix."""
    projected = graph.products(x, [f"blk.{layer}.attn_{part}.weight" for part in "qkv"])
    # The operator takes the three in one as well.
    query, key, value = (projected + ["", ""])[:3]
    cache = [f"past_key_{layer}", f"past_value_{layer}"]
    outputs = graph.node(
        "GroupQueryAttention",
        [query, key, value, *cache, "last_position", "n_positions", "cosines", "sines"],
        n_outputs=3,
        domain=CONTRIB,
        num_heads=config.n_heads,
        kv_num_heads=config.n_kv_heads,
        do_rotary=1,
        # GGUF orders the rows of llama's query and key for pairs of neighbours.
        rotary_interleaved=1,
    )
    graph.nodes[-1].output[1], graph.nodes[-1].output[2] = f"present_key_{layer}", f"present_value_{layer}"
    return outputs[0]


def feed_forward(graph: Graph, layer: int, x: str) -> str:
    """SwiGLU: down(silu(gate(x)) * up(x))."""
    gate = graph.products(x, [f"blk.{layer}.ffn_gate.weight"])[0]
    up = graph.products(x, [f"blk.{layer}.ffn_up.weight"])[0]
    activated = graph.node("QuickGelu", [gate], domain=CONTRIB, alpha=1.0)[0]
    gated = graph.node("Mul", [activated, up])[0]
    return graph.products(gated, [f"blk.{layer}.ffn_down.weight"])[0]
