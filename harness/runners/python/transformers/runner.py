"""transformers: PyTorch's eager mode, driven step by step.

The GGUF file is dequantized once, by transformers' own loader, and kept as safetensors (`--prepare`); a job loads
those. The loop is the one below and not `generate`, whose bookkeeping between tokens would be timed with the model. The
cache is a `DynamicCache`, transformers' default: a `StaticCache` attends to every allocated position in eager mode, and
pays off only when compiled. Its kernels for packed GGUF blocks are not in any package, and not used. Attention is
PyTorch's scaled dot product. In bfloat16 the dequantized values are rounded once more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness_runner import Job, RunnerError, StepBackend, main, package_version, prepared_from

KV_TYPES = {"float32": "f32", "bfloat16": "bf16"}
"""The dtypes that the setting `dtype` can name; the KV cache has the same."""


class Transformers(StepBackend):
    name = "transformers"

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.version = package_version("transformers")
        self.dtype = settings.get("dtype", "float32")
        self.weights_class = "B" if self.dtype == "float32" else "C"
        self.build = f"torch {package_version('torch')}, eager, SDPA, DynamicCache, {self.dtype}"
        self.context = 0
        self.batch = 0
        self.n_positions = 0
        self.cache: Any = None
        self.last_logits: Any = None

    @property
    def features(self) -> Sequence[str]:
        import torch

        available = {"mkl": torch.backends.mkl.is_available(), "mkldnn": torch.backends.mkldnn.is_available()}
        return [torch.backends.cpu.get_cpu_capability(), *(name for name, there in available.items() if there)]

    def check(self) -> None:
        import accelerate  # noqa: F401
        import gguf  # noqa: F401
        import torch
        from transformers import DynamicCache, LlamaForCausalLM  # noqa: F401

        torch.ones(2, 2).mm(torch.ones(2, 2))

    def prepare(self, model: Path, out: Path) -> None:
        from transformers import GgufConfig

        config = GgufConfig(gguf_file=model.name, dequantize=True)
        dequantized = self._from_pretrained(model.parent, gguf_file=model.name, quantization_config=config)
        dequantized.save_pretrained(out)

    def load(self, job: Job) -> int:
        import torch

        torch.set_num_threads(job.threads)
        torch.set_num_interop_threads(1)
        prepared = Path(self.settings.get("prepared", ""))
        if not (prepared / "config.json").is_file():
            raise RunnerError("model", f"`{prepared}` holds no prepared model: make it with --prepare MODEL DIRECTORY")
        self.torch = torch
        self.model = self._from_pretrained(prepared).eval()
        self.context, self.batch = job.context, job.batch
        self.model_bytes = prepared_from(prepared)
        return torch.get_num_threads()

    def told_settings(self) -> dict[str, Any]:
        return {
            "context": self.context,
            "batch": self.batch,
            "kv_type": KV_TYPES[self.dtype],
            "model_bytes": self.model_bytes,
        }

    def clear(self) -> None:
        from transformers import DynamicCache

        self.cache = DynamicCache(config=self.model.config)
        self.n_positions = 0

    def prefill(self, prompt: list[int]) -> int:
        for start in range(0, len(prompt), self.batch):
            token = self._step(prompt[start : start + self.batch])
        return token

    def decode(self, token: int) -> int:
        return self._step([token])

    def logits(self) -> Any:
        return self.last_logits

    def _step(self, tokens: list[int]) -> int:
        self.n_positions += len(tokens)
        if self.n_positions > self.context:
            raise RunnerError("unsupported", f"position {self.n_positions} is beyond the context of {self.context}")
        with self.torch.inference_mode():
            ids = self.torch.tensor([tokens])
            output = self.model(input_ids=ids, cache=self.cache, use_cache=True, logits_to_keep=1)
            self.last_logits = output.logits[0, -1]
            return int(self.last_logits.argmax())

    def _from_pretrained(self, directory: Path, **options: Any) -> Any:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        from transformers import AutoModelForCausalLM

        if self.dtype not in KV_TYPES:
            raise RunnerError("unsupported", f"dtype {self.dtype} is none of {', '.join(KV_TYPES)}")
        dtype = getattr(torch, self.dtype)
        return AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, attn_implementation="sdpa", local_files_only=True, **options
        )


if __name__ == "__main__":
    sys.exit(main(Transformers))
