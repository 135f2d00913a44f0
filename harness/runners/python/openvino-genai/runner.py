"""Runner for OpenVINO GenAI: reads the GGUF file itself and generates with its LLMPipeline on the CPU.

What it makes of the file's weights: the values of Q4_0 and Q8_0 blocks are kept; the minimum of a Q4_1 or Q4_K block is
rounded to a whole multiple of its scale; every other format, Q6_K among them, becomes f16.
Settings beyond the job's: `inference_precision` and `activation_group` (0: activations are not quantized), each `auto`
for OpenVINO's own choice on the machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gguf_header import read_header
from harness_runner import (
    Backend,
    Counts,
    Job,
    OnToken,
    RunnerError,
    Top,
    largest_log_probabilities,
    main,
    package_version,
)

NO_TOKEN = 2**31 - 1
"""An id that no vocabulary has: generation must be given an end-of-sequence token, and nothing may end it."""

KV_BLOCK = 32
"""Positions of a block of the paged KV cache on the CPU."""


KEPT = {"F32", "Q4_0", "Q8_0"}
"""Formats whose values OpenVINO keeps; F32 is that of the norms."""


def weights_class(formats: Iterable[str]) -> str:
    """What OpenVINO makes of tensors of these formats: B, the same values, or C, values that are rounded once more."""
    return "B" if KEPT.issuperset(formats) else "C"


def properties(settings: dict[str, str], threads: int, kv_type: str) -> dict[str, Any]:
    """The plugin's properties for a row of these settings; what is `auto` is left to OpenVINO."""
    chosen: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "KV_CACHE_PRECISION": kv_type,
    }
    for setting, name in [
        ("inference_precision", "INFERENCE_PRECISION_HINT"),
        ("activation_group", "DYNAMIC_QUANTIZATION_GROUP_SIZE"),
    ]:
        value = settings.get(setting, "auto")
        if value != "auto":
            chosen[name] = value
    return chosen


def kv_blocks(context: int) -> int:
    """Blocks of the paged KV cache that hold `context` positions."""
    return -(-context // KV_BLOCK)


def linked(model: Path, folder: Path) -> Path:
    """`model` under a name in `folder` that ends in `.gguf`, by which OpenVINO knows the format."""
    link = folder / "model.gguf"
    link.symlink_to(model.resolve())
    return link


class OpenVino(Backend):
    """OpenVINO GenAI's LLMPipeline with paged attention."""

    name = "openvino-genai"
    weights_class = "C"
    """Until `examine` has seen the file."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.version = package_version("openvino-genai")
        self.build = f"openvino {package_version('openvino')}, wheels of PyPI"
        self.features = [f"{key} {value}" for key, value in sorted(settings.items())]

    def check(self) -> None:
        import numpy  # noqa: F401
        import openvino  # noqa: F401
        import openvino_genai  # noqa: F401

    def examine(self, job: Job) -> None:
        self.weights_class = weights_class(read_header(job.model_path).formats.values())

    def load(self, job: Job) -> int:
        import openvino_genai

        if job.kv_type != "f16":
            raise RunnerError("unsupported", f"a KV cache of {job.kv_type} is not driven, only f16")
        self.job = job
        self.properties = properties(self.settings, job.threads, job.kv_type)
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_seqs = 1
        scheduler.max_num_batched_tokens = job.batch
        scheduler.num_kv_blocks = kv_blocks(job.context)
        self.streamer = _streamer_class()()
        self.pipeline = self._pipeline(scheduler_config=scheduler)
        return job.threads

    def told_settings(self) -> dict[str, Any]:
        return {
            "context": kv_blocks(self.job.context) * KV_BLOCK,
            "batch": self.job.batch,
            "kv_type": self.job.kv_type,
            "model_bytes": self.job.model_path.stat().st_size,
        }

    def _pipeline(self, **more: Any) -> Any:
        """The pipeline of the GGUF file. Ids go in and come out, so it gets a tokenizer of nothing: OpenVINO's own
        cannot be made from files with a SentencePiece vocabulary."""
        import openvino_genai

        with tempfile.TemporaryDirectory() as folder:
            model = linked(self.job.model_path, Path(folder))
            nothing = Path(folder, "nothing")
            nothing.mkdir()
            tokenizer = openvino_genai.Tokenizer(nothing)
            return openvino_genai.LLMPipeline(model, tokenizer, "CPU", **self.properties, **more)

    def generate(self, prompt: list[int], n: int, on_token: OnToken) -> Counts | None:
        import numpy
        import openvino
        import openvino_genai

        config = openvino_genai.GenerationConfig(
            max_new_tokens=n,
            ignore_eos=True,
            eos_token_id=NO_TOKEN,
            stop_token_ids={NO_TOKEN},
            do_sample=False,
            apply_chat_template=False,
        )
        ids = numpy.array([prompt], dtype=numpy.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        self.streamer.on_token = on_token
        result = self.pipeline.generate(inputs, config, self.streamer)
        return Counts(n_prompt=result.perf_metrics.get_num_input_tokens(), n_cached=0)

    def distributions(self, prompt: list[int], forced: list[int], k: int) -> list[Top]:
        """From the graph that OpenVINO makes of the file, compiled with the same properties: the pipeline tells no more
        than the chosen token. The pipeline goes first, so that both are never in memory together."""
        import numpy
        import openvino

        del self.pipeline
        text = numpy.array([prompt + forced[:-1]], dtype=numpy.int64)
        with tempfile.TemporaryDirectory() as folder:
            self._save_graph(Path(folder))
            graph = openvino.Core().compile_model(Path(folder, "openvino_model.xml"), "CPU", self.properties)
            inputs = {
                "input_ids": text,
                "attention_mask": numpy.ones_like(text),
                "position_ids": numpy.arange(text.shape[1], dtype=numpy.int64)[None],
                "beam_idx": numpy.zeros(1, dtype=numpy.int32),
            }
            logits = graph.create_infer_request().infer(inputs)["logits"][0]  # [n_positions, n_vocab]
        return [largest_log_probabilities(row.tolist(), k) for row in logits[len(prompt) - 1 :]]

    def _save_graph(self, folder: Path) -> None:
        """Has OpenVINO save the graph that it makes of the model, which it does beside the model's name."""
        import openvino_genai

        nothing = folder / "nothing"
        nothing.mkdir()
        openvino_genai.LLMPipeline(
            linked(self.job.model_path, folder),
            openvino_genai.Tokenizer(nothing),
            "CPU",
            ATTENTION_BACKEND="SDPA",
            enable_save_ov_model=True,
            **self.properties,
        )


def _streamer_class() -> type:
    """The class of streamers that hand each token on; it derives from one of OpenVINO's."""
    import openvino_genai

    running = openvino_genai.StreamingStatus.RUNNING

    class Streamer(openvino_genai.StreamerBase):
        on_token: OnToken

        def write(self, token: Any) -> Any:
            for one in [token] if isinstance(token, int) else token:
                self.on_token(one)
            return running

        def end(self) -> None:
            pass

    return Streamer


if __name__ == "__main__":
    raise SystemExit(main(OpenVino))
