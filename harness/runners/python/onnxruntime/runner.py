"""ONNX Runtime behind harness's runner protocol: a graph made of the GGUF file once, then an own greedy loop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from harness_runner import Job, RunnerError, StepBackend, main, package_version

DEFAULT_ACCURACY_LEVEL = "4"
"""Activations may be rounded to int8 in blocks: the setting of ONNX Runtime's model builder for this processor."""


class OnnxRuntime(StepBackend):
    """Plain `onnxruntime` with IO binding: every input and output, the KV cache included, has a place of its own that
    all steps share, so that a step copies nothing but the new token."""

    name = "onnxruntime"
    version = package_version("onnxruntime")
    weights_class = "B"

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.accuracy_level = settings.get("accuracy_level", DEFAULT_ACCURACY_LEVEL)
        self.prepared = settings.get("prepared")
        self.features = (f"accuracy level {self.accuracy_level}", "KV cache in f32")

    def check(self) -> None:
        import gguf  # noqa: F401
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

    def prepare(self, model: Path, out: Path) -> None:
        import graph
        from source import UnsupportedModel

        try:
            graph.build(model, out)
        except UnsupportedModel as error:
            raise RunnerError("unsupported", f"{model}: {error}") from error

    def load(self, job: Job) -> int:
        import numpy as np
        import onnxruntime as ort

        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        options = ort.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = str(Path(self.prepared) / f"accuracy-{self.accuracy_level}.onnx")
        self.session = session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._batch = job.batch
        shapes = {value.name: value.shape for value in [*session.get_inputs(), *session.get_outputs()]}
        self._logits = np.zeros(shapes["logits"], dtype=np.float32)
        self._last_position = np.zeros([1], dtype=np.int32)
        self._n_positions = np.zeros([], dtype=np.int32)
        self._token = np.zeros([1, 1], dtype=np.int64)
        self._cache = []
        for name in sorted(n for n in shapes if n.startswith("past_")):
            shape = [job.context if side == "context" else side for side in shapes[name]]
            self._cache.append((name, name.replace("past_", "present_"), np.zeros(shape, dtype=np.float32)))
        self._decode = self._bind(self._token)
        return job.threads

    def _bind(self, ids: Any) -> Any:
        """A binding of all inputs and outputs, with `ids` [1, n]."""
        binding = self.session.io_binding()
        inputs = [("ids", ids), ("last_position", self._last_position), ("n_positions", self._n_positions)]
        for name, values in inputs + [(past, values) for past, _, values in self._cache]:
            binding.bind_input(name, "cpu", 0, values.dtype.type, values.shape, values.ctypes.data)
        outputs = [("logits", self._logits)] + [(present, values) for _, present, values in self._cache]
        for name, values in outputs:
            binding.bind_output(name, "cpu", 0, values.dtype.type, values.shape, values.ctypes.data)
        return binding

    def clear(self) -> None:
        self._n_positions[...] = 0

    def prefill(self, prompt: list[int]) -> int:
        import numpy as np

        token = -1
        for start in range(0, len(prompt), self._batch):
            ids = np.array([prompt[start : start + self._batch]], dtype=np.int64)
            token = self._step(self._bind(ids), ids.shape[1])
        return token

    def decode(self, token: int) -> int:
        self._token[0, 0] = token
        return self._step(self._decode, 1)

    def logits(self) -> Any:
        return self._logits[0, 0]

    def _step(self, binding: Any, n: int) -> int:
        self._n_positions += n
        self._last_position[0] = self._n_positions - 1
        self.session.run_with_iobinding(binding)
        return int(self._logits.argmax())


if __name__ == "__main__":
    sys.exit(main(OnnxRuntime))
