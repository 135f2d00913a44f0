"""The runner's side of harness's runner protocol, version 1, for frameworks that are driven from Python.

One job comes as a JSON line on stdin, events go as JSON lines to stdout; after `bye` the program waits until stdin is
closed, so that the launcher can read its memory marks. A runner is a class with a `load` and either steps
(`StepBackend`) or a loop of its own (`Backend`), and ends with `main(ItsClass)`:

    runner --version                     prints name, version and build, without importing the framework
    runner --check                       imports what it needs, so that a broken installation is noticed
    runner --prepare MODEL OUT [K=V …]   makes of MODEL, in the directory OUT, what it will load, once
    runner [K=V …]                       carries out the job on stdin; K=V are the settings of its row

Standard library only. The framework's packages are to be imported in `load`, `check` and `prepare`: by then whatever a
library prints goes to stderr, and file descriptor 1 belongs to the events.
"""

from __future__ import annotations

import heapq
import importlib.metadata
import json
import math
import os
import platform
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

PROTOCOL_VERSION = 1
SOURCE_FILE = "source.json"
"""In a prepared directory: what it was made from."""

Top = list[tuple[int, float]]
"""Token ids with a value each, largest first and the smaller id first of equals."""


class RunnerError(Exception):
    """Why a runner gives up. `kind`: `unsupported`, `model`, `memory`, `protocol`, `internal`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Verify:
    """The verification request: a greedy continuation, and the distributions along a given text."""

    prompt: list[int]
    n_tokens: int
    top_k: int
    """Likeliest tokens wanted at each position; 0: none."""
    forced: list[int]
    """A text that continues the prompt; empty: no distributions are wanted."""


@dataclass(frozen=True)
class Job:
    """What a runner is asked to do; the fields are those of the protocol."""

    model_path: Path
    model_sha256: str
    prompts: list[list[int]]
    cold_generate: int
    """Tokens of the first, cold request; 0: there is none."""
    n_generate: int
    context: int
    """KV positions."""
    threads: int
    kv_type: str
    batch: int
    verify: Verify | None

    @staticmethod
    def parse(line: str) -> Job:
        """Reads the job line.

        Raises RunnerError (`protocol`) if it is none, or of another version.
        """
        if not line.strip():
            raise RunnerError("protocol", "stdin closed without a job")
        try:
            wire = json.loads(line)
            if wire["protocol"] != PROTOCOL_VERSION:
                message = f"this runner speaks protocol {PROTOCOL_VERSION}, the job is of {wire['protocol']}"
                raise RunnerError("protocol", message)
            asked = wire.get("verify")
            verify = asked and Verify(asked["prompt"], asked["n_tokens"], asked["top_k"], asked.get("forced", []))
            return Job(
                model_path=Path(wire["model"]["path"]),
                model_sha256=wire["model"]["sha256"],
                prompts=wire["prompts"],
                cold_generate=wire["cold_generate"],
                n_generate=wire["n_generate"],
                context=wire["context"],
                threads=wire["threads"],
                kv_type=wire["kv_type"],
                batch=wire["batch"],
                verify=verify,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RunnerError("protocol", f"the job cannot be read: {error!r}") from error

    def n_generate_of(self, rep: int) -> int:
        """Tokens asked for in the request of prompt `rep`."""
        return self.cold_generate if rep == 0 and self.cold_generate > 0 else self.n_generate


@dataclass(frozen=True)
class Counts:
    """What a framework itself says of a request."""

    n_prompt: int
    """Prompt tokens processed."""
    n_cached: int
    """Prompt tokens that came from a cache."""


class OnToken(Protocol):
    """To be called with each generated id as soon as it could be handed to a caller: it takes the time.

    Where an id is known only later, `at_ns` is the time (`time.perf_counter_ns`) at which its token came.
    """

    def __call__(self, token: int, at_ns: int | None = None) -> None: ...


class Backend(ABC):
    """A framework that generates in a loop of its own. See `StepBackend` for one that is driven step by step."""

    name: str
    """Id in frameworks.yaml."""
    version: str
    build: str = ""
    """Versions of other packages and flags, as far as they matter for speed."""
    weights_class: str
    """A: the file's bytes; B: the same dequantized values; C: requantized."""
    features: Sequence[str] = ()
    """Processor features in use, and the like. May be a property, which is read before `load`."""

    def __init__(self, settings: dict[str, str]) -> None:
        """`settings`: the K=V arguments of the command line."""
        self.settings = settings

    def check(self) -> None:
        """Imports what `load` will need."""

    def prepare(self, model: Path, out: Path) -> None:
        """Makes of the model file, in the empty directory `out`, what `load` reads."""
        raise RunnerError("unsupported", f"{self.name} has nothing to prepare")

    def examine(self, job: Job) -> None:
        """Looks at the job before anything is said: what `hello` tells may depend on the model file. Not timed."""

    @abstractmethod
    def load(self, job: Job) -> int:
        """Loads the model; returns the compute threads in use."""

    def told_settings(self) -> dict[str, Any]:
        """What it works with after `load`, as far as it knows: `context`, `batch`, `kv_type`, `model_bytes` and the
        like of the protocol's `ready`."""
        return {}

    def clear(self) -> None:
        """Forgets every position. Called before each request, not timed."""

    @abstractmethod
    def generate(self, prompt: list[int], n: int, on_token: OnToken) -> Counts | None:
        """Generates exactly `n` tokens greedily, end-of-sequence ignored, no token put before the prompt.

        Returns what the framework says it has processed, where it says so.
        """

    def top_logits(self, k: int) -> Top | None:
        """The `k` largest logits of the last token handed to `on_token`; None: not to be had."""
        return None

    def distributions(self, prompt: list[int], forced: list[int], k: int) -> list[Top]:
        """The `k` likeliest tokens after the prompt and `forced[:i]`, for each i, with their natural log-probabilities
        over the whole vocabulary; empty: not to be had."""
        return []


class StepBackend(Backend):
    """A framework that is driven one step at a time."""

    @abstractmethod
    def prefill(self, prompt: list[int]) -> int:
        """Processes a prompt, after `clear`; returns the likeliest next token."""

    @abstractmethod
    def decode(self, token: int) -> int:
        """Processes one token; returns the likeliest next one."""

    @abstractmethod
    def logits(self) -> Any:
        """The logits of the last step, [n_vocab]: floats with `tolist()` (numpy, torch, array) or a sequence.

        None: not to be had.
        """

    def generate(self, prompt: list[int], n: int, on_token: OnToken) -> Counts | None:
        token = self.prefill(prompt)
        on_token(token)
        for _ in range(n - 1):
            token = self.decode(token)
            on_token(token)
        return None

    def top_logits(self, k: int) -> Top | None:
        logits = self.logits()
        return None if logits is None else largest(as_list(logits), k)

    def distributions(self, prompt: list[int], forced: list[int], k: int) -> list[Top]:
        told: list[Top] = []
        for i in range(len(forced)):
            self.decode(forced[i - 1]) if i > 0 else self.prefill(prompt)
            logits = self.logits()
            if logits is None:
                return []
            told.append(largest_log_probabilities(as_list(logits), k))
        return told


def as_list(logits: Any) -> list[float]:
    """Logits as Python floats."""
    return logits.tolist() if hasattr(logits, "tolist") else list(logits)


def largest(values: Sequence[float], k: int) -> Top:
    """The `k` largest values with their indices, largest first and the smaller index first of equals."""
    return [(i, values[i]) for i in heapq.nlargest(k, range(len(values)), key=values.__getitem__)]


def largest_log_probabilities(logits: Sequence[float], k: int) -> Top:
    """The `k` largest natural log-probabilities of the softmax over all `logits`."""
    most = max(logits)
    log_sum = math.log(math.fsum(math.exp(logit - most) for logit in logits))
    return [(i, logit - most - log_sum) for i, logit in largest(logits, k)]


def package_version(package: str) -> str:
    """Version of an installed package, without importing it."""
    return importlib.metadata.version(package)


def prepared_from(out: Path) -> int | None:
    """Size of the model file that `--prepare` made the directory `out` from, bytes; None: it does not tell."""
    try:
        return json.loads((out / SOURCE_FILE).read_text(encoding="utf-8"))["bytes"]
    except (OSError, ValueError, KeyError):
        return None


def _prepare(backend: Backend, model: Path, out: Path) -> None:
    backend.prepare(model, out)
    (out / SOURCE_FILE).write_text(json.dumps({"bytes": model.stat().st_size}), encoding="utf-8")


def serve(backend: Backend, jobs: TextIO, events: TextIO) -> bool:
    """Carries out the job on `jobs`, says so on `events`, then waits for the end of `jobs`; whether all went well."""
    try:
        _carry_out(backend, Job.parse(jobs.readline()), events)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        kind = "memory" if isinstance(error, MemoryError) else getattr(error, "kind", "internal")
        message = str(error) if isinstance(error, RunnerError) else f"{type(error).__name__}: {error}"
        _say(events, "error", kind=kind, message=message)
        return False
    while jobs.read(4096):
        pass
    return True


def _carry_out(backend: Backend, job: Job, events: TextIO) -> None:
    _possible(job)
    backend.examine(job)
    _say(
        events,
        "hello",
        framework=backend.name,
        version=backend.version,
        build=backend.build,
        weights_class=backend.weights_class,
        features=list(backend.features),
    )
    started = time.perf_counter_ns()
    threads_used = backend.load(job)
    load_ns = time.perf_counter_ns() - started
    _say(events, "ready", load_ns=load_ns, threads_used=threads_used, settings=backend.told_settings())
    for rep, prompt in enumerate(job.prompts):
        is_cold = rep == 0 and job.cold_generate > 0
        if rep == 0 or (rep == 1 and job.cold_generate > 0):
            _say(events, "phase", name="cold" if is_cold else "sample")
        backend.clear()
        _say(events, "sample", rep=rep, **_request(backend, prompt, job.n_generate_of(rep)))
    if job.verify is not None:
        _say(events, "phase", name="verify")
        _say(events, "verified", **_verified(backend, job.verify))
    _say(events, "bye")


def _possible(job: Job) -> None:
    """Refuses what no framework could do; what one loads may have been made of a file that is gone since."""
    if not job.model_path.is_file():
        raise RunnerError("model", f"{job.model_path}: no such file")
    for rep, prompt in enumerate(job.prompts):
        n_prompt, n_generate = len(prompt), job.n_generate_of(rep)
        if n_prompt + n_generate > job.context:
            what = f"{n_prompt} prompt and {n_generate} generated tokens do not fit a context of {job.context}"
            raise RunnerError("unsupported", what)


def _request(backend: Backend, prompt: list[int], n: int) -> dict[str, Any]:
    """One timed request. Nothing is written between its first and its last stamp."""
    token_ids: list[int] = []
    token_at_ns: list[int] = []
    now = time.perf_counter_ns

    def on_token(token: int, at_ns: int | None = None) -> None:
        token_at_ns.append((now() if at_ns is None else at_ns) - started)
        token_ids.append(token)

    started = now()
    counts = backend.generate(prompt, n, on_token) or Counts(n_prompt=len(prompt), n_cached=0)
    if not token_at_ns:
        raise RunnerError("internal", f"{backend.name} generated nothing")
    return {
        "n_prompt": counts.n_prompt,
        "n_cached": counts.n_cached,
        "prefill_ns": token_at_ns[0],
        "token_ids": token_ids,
        "token_at_ns": token_at_ns,
    }


def _verified(backend: Backend, verify: Verify) -> dict[str, Any]:
    token_ids: list[int] = []
    top_logits: list[Top] = []

    def on_token(token: int, at_ns: int | None = None) -> None:
        token_ids.append(token)
        top = backend.top_logits(verify.top_k) if verify.top_k > 0 else None
        if top is not None:
            top_logits.append(top)

    backend.clear()
    backend.generate(verify.prompt, verify.n_tokens, on_token)
    forced_top: list[Top] = []
    if verify.top_k > 0 and verify.forced:
        backend.clear()
        forced_top = backend.distributions(verify.prompt, verify.forced, verify.top_k)
    return {"token_ids": token_ids, "top_logits": top_logits, "forced_top": forced_top}


def _say(events: TextIO, event: str, **fields: Any) -> None:
    # What is not finite is no JSON, and no figure either.
    events.write(json.dumps({"event": event, **fields}, allow_nan=False) + "\n")
    events.flush()


def take_stdout() -> TextIO:
    """Keeps stdout for the events: what libraries, native ones too, write to file descriptor 1 goes to stderr."""
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return events


def main(backend_class: Callable[[dict[str, str]], Backend], args: Sequence[str] | None = None) -> int:
    """A runner's program; `args` are those of the command line unless given. Returns the exit status."""
    match list(sys.argv[1:] if args is None else args):
        case ["--version" | "--check" as action]:
            paths, pairs = [], []
        case ["--prepare" as action, model, target, *pairs]:
            paths = [Path(model), Path(target)]
        case pairs:
            action, paths = "", []
    if not all("=" in pair for pair in pairs):
        print(__doc__, file=sys.stderr)
        return 2
    out = take_stdout()
    backend = backend_class(dict(pair.split("=", 1) for pair in pairs))
    if action == "--version":
        print(f"{backend.name} {backend.version} ({backend.build}; Python {platform.python_version()})", file=out)
        out.flush()
    elif action == "--check":
        backend.check()
    elif action == "--prepare":
        _prepare(backend, *paths)
    else:
        status = 0 if serve(backend, sys.stdin, out) else 1
        sys.stderr.flush()
        # Some libraries take seconds to come down, and a runner has two.
        os._exit(status)
    return 0
