"""ONNX Runtime behind harness's runner protocol: a graph made of the GGUF file once, then a greedy loop.

Plain `onnxruntime`, since `onnxruntime-genai` runs the same graph at the same speed and tells less of its logits.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_runner import Job, RunnerError, StepBackend, main, package_version, prepared_from

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding

ACCURACY_LEVELS = {
    "1": "activations in f32 (accuracy level 1)",
    "4": "activations in int8 blocks (accuracy level 4)",
}
"""Values of the setting `accuracy_level`: what MatMulNBits may round its activations to."""


class OnnxRuntime(StepBackend):
    """A session with IO binding: each input and output, the KV cache included, has one place for all steps, so that a
    step copies nothing but the new token."""

    name = "onnxruntime"
    version = package_version("onnxruntime")
    build = f"PyPI wheel, {platform.machine()}"
    weights_class = "B"

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self._prepared = Path(settings.get("prepared", ""))
        self._level = settings.get("accuracy_level", "4")
        self.features = (ACCURACY_LEVELS.get(self._level, ""), "KV cache in f32", "all graph optimisations")

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
        graph_file = self._graph_file()
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(str(graph_file), options, providers=["CPUExecutionProvider"])
        n_context = int(session.get_modelmeta().custom_metadata_map["n_context"])
        if job.context > n_context:
            raise RunnerError("unsupported", f"{job.context} positions: the model is made for {n_context}")
        self._batch = job.batch
        self._allocate(session, job.context)
        return job.threads

    def told_settings(self) -> dict[str, Any]:
        context = next(iter(self._cache.values())).shape[2]
        model_bytes = prepared_from(self._prepared)
        return {"context": context, "batch": self._batch, "kv_type": "f32", "model_bytes": model_bytes}

    def _graph_file(self) -> Path:
        """Raises RunnerError for a setting that is wrong or missing."""
        if self._level not in ACCURACY_LEVELS:
            known = " or ".join(ACCURACY_LEVELS)
            raise RunnerError("unsupported", f"accuracy_level: must be {known} (got `{self._level}`)")
        path = self._prepared / f"accuracy-{self._level}.onnx"
        if not path.is_file():
            raise RunnerError("model", f"{path} is not there: make it with --prepare MODEL DIRECTORY")
        return path

    def _allocate(self, session: InferenceSession, context: int) -> None:
        """Makes the places of all inputs and outputs and binds them, twice: for prompts and for single tokens."""
        import numpy as np

        inputs = {value.name: value.shape for value in session.get_inputs()}
        past = {name: shape for name, shape in inputs.items() if name.startswith("past_")}
        self._session = session
        self._logits = np.zeros(session.get_outputs()[0].shape, dtype=np.float32)  # [1, 1, n_vocab]
        self._cache = {
            name: np.zeros([context if side == "context" else side for side in shape], dtype=np.float32)
            for name, shape in past.items()  # [1, n_kv_heads, context, head_dim]
        }
        self._last_position = np.zeros([1], dtype=np.int32)
        self._n_positions = np.zeros([], dtype=np.int32)
        self._token = np.zeros([1, 1], dtype=np.int64)
        self._for_prompts, self._for_tokens = self._bind(), self._bind()
        bind_input(self._for_tokens, "ids", self._token)

    def _bind(self) -> IOBinding:
        """A binding of everything but the ids. What the cache was and what it becomes share their place."""
        binding = self._session.io_binding()
        bind_input(binding, "last_position", self._last_position)
        bind_input(binding, "n_positions", self._n_positions)
        bind_output(binding, "logits", self._logits)
        for name, values in self._cache.items():
            bind_input(binding, name, values)
            bind_output(binding, name.replace("past_", "present_"), values)
        return binding

    def clear(self) -> None:
        # Positions from here on are overwritten before they are read.
        self._n_positions[...] = 0

    def prefill(self, prompt: list[int]) -> int:
        import numpy as np

        token = -1
        for start in range(0, len(prompt), self._batch):
            ids = np.array([prompt[start : start + self._batch]], dtype=np.int64)
            bind_input(self._for_prompts, "ids", ids)
            token = self._step(self._for_prompts, ids.shape[1])
        return token

    def decode(self, token: int) -> int:
        self._token[0, 0] = token
        return self._step(self._for_tokens, 1)

    def logits(self) -> Any:
        return self._logits[0, 0]

    def _step(self, binding: IOBinding, n: int) -> int:
        self._n_positions += n
        self._last_position[0] = self._n_positions - 1
        self._session.run_with_iobinding(binding)
        return int(self._logits.argmax())


def bind_input(binding: IOBinding, name: str, values: Any) -> None:
    """Binds an array where it lies; it must outlive every run."""
    binding.bind_input(name, "cpu", 0, values.dtype.type, values.shape, values.ctypes.data)


def bind_output(binding: IOBinding, name: str, values: Any) -> None:
    """Binds an array where it lies; it must outlive every run."""
    binding.bind_output(name, "cpu", 0, values.dtype.type, values.shape, values.ctypes.data)


if __name__ == "__main__":
    sys.exit(main(OnnxRuntime))
