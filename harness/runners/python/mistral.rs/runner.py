"""Runner for mistral.rs: its Python package, which computes in the process on the blocks of the GGUF file.

Its interface takes and gives text, so the model is loaded with a tokenizer of our own making (see `ids`): the prompt is
written so that it is read as exactly the ids of the job, and every token comes back under its own name.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from gguf_header import read_header
from harness_runner import Backend, Counts, Job, OnToken, RunnerError, Top, main, package_version
from ids import TEMPLATE, Ids, UnusableVocabulary


POSITIONS_AT_ONCE = 8
"""Positions of a text that one instance of the model is asked for: on the CPU, mistral.rs's prefix cache only grows."""

SECONDS_TO_END = 1.0
"""After this an instance that was let go has freed its memory, which its engine does in a thread of its own."""


class MistralRs(Backend):
    """mistral.rs with one sequence at a time, no prefix cache and no paged attention."""

    name = "mistral.rs"
    weights_class = "A"
    build = "wheel of PyPI"

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.version = package_version("mistralrs")

    def check(self) -> None:
        import mistralrs  # noqa: F401

    def load(self, job: Job) -> int:
        # Read by the thread pools when they start. Nothing is to be asked of a model hub.
        os.environ |= {
            "RAYON_NUM_THREADS": str(job.threads),
            "CANDLE_NUM_THREADS": str(job.threads),
            "HF_HUB_OFFLINE": "1",
        }
        if job.kv_type not in ("f16", "f32"):
            raise RunnerError("unsupported", f"a KV cache of {job.kv_type}; mistral.rs has f16 and f32 on the CPU")
        if job.kv_type == "f32":
            os.environ["MISTRALRS_CPU_KV_F32"] = "1"
        try:
            self.ids = Ids(read_header(job.model_path).pieces)
        except UnusableVocabulary as error:
            raise RunnerError("unsupported", str(error)) from error
        self.model = job.model_path
        self.runner = self._runner(prefix_cache_n=0)
        return job.threads

    def told_settings(self) -> dict[str, Any]:
        return {"model_bytes": self.model.stat().st_size}

    def _runner(self, prefix_cache_n: int) -> Any:
        import mistralrs

        with tempfile.TemporaryDirectory() as folder:
            tokenizer, template = Path(folder, "tokenizer.json"), Path(folder, "template.jinja")
            tokenizer.write_text(json.dumps(self.ids.tokenizer()))
            template.write_text(TEMPLATE)
            return mistralrs.Runner(
                which=mistralrs.Which.GGUF(
                    quantized_model_id=str(self.model.parent),
                    quantized_filename=self.model.name,
                    tokenizer_json=str(tokenizer),
                ),
                jinja_explicit=str(template),
                max_seqs=1,
                prefix_cache_n=prefix_cache_n,
                no_paged_attn=True,
                token_source="none",
            )

    def generate(self, prompt: list[int], n: int, on_token: OnToken) -> Counts | None:
        now = time.perf_counter_ns
        chunks, at_ns = [], []
        for answer in self._ask(prompt, n, stream=True):
            at_ns.append(now())
            chunks.append(answer.choices[0].delta.content)
        ids = self.ids.read(chunks, n)
        if ids is None:
            ids = self._ids_again(prompt, n)
        for i, chunk in zip(ids, self.ids.chunk_of(ids), strict=True):
            on_token(i, at_ns[chunk])
        details = answer.usage.prompt_tokens_details
        return Counts(n_prompt=answer.usage.prompt_tokens, n_cached=details.cached_tokens if details else 0)

    def _ids_again(self, prompt: list[int], n: int) -> list[int]:
        """The ids of an answer whose text does not tell them: asked for once more, with log-probabilities, which name
        them. Not timed."""
        answer = self._ask(prompt, n, logprobs=True, top_logprobs=1)
        return [token.top_logprobs[0].token for token in answer.choices[0].logprobs.content]

    def distributions(self, prompt: list[int], forced: list[int], k: int) -> list[Top]:
        """One request for each position. These may use a prefix cache, so that each computes only what is new."""
        told: list[Top] = []
        for i in range(len(forced)):
            if i % POSITIONS_AT_ONCE == 0:
                del self.runner
                time.sleep(SECONDS_TO_END)
                self.runner = self._runner(prefix_cache_n=1)
            answer = self._ask(prompt + forced[:i], 1, logprobs=True, top_logprobs=k)
            (token,) = answer.choices[0].logprobs.content
            told.append([(top.token, top.logprob) for top in token.top_logprobs])
        return told

    def _ask(self, prompt: list[int], n: int, **more: Any) -> Any:
        import mistralrs

        request = mistralrs.ChatCompletionRequest(
            messages=self.ids.prompt(prompt),
            model="default",
            max_tokens=n,
            temperature=0.0,
            ignore_eos=True,
            **more,
        )
        return self.runner.send_chat_completion_request(request)


if __name__ == "__main__":
    raise SystemExit(main(MistralRs))
