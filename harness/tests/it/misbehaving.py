"""The example runner, wrong in one way: `misbehaving.py WAY`. For the tests of `harness check-runner`."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

WAY = sys.argv[1]
EXAMPLE = Path(__file__).parents[2] / "runners/python/example/runner.py"
spec = importlib.util.spec_from_file_location("example", EXAMPLE)
assert spec is not None and spec.loader is not None
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
say, generate, top, load = example.say, example.generate, example.top, example.load
THREADS = 1

HELLO = {
    "nameless": {"version": " "},
    "lies_about_its_weights": {"weights_class": "A"},
    "no_class": {"weights_class": "very good"},
}
READY = {
    "too_many_threads": lambda: {"threads_used": 4},
    "small_cache": lambda: {"settings": {"context": 64, "kv_type": "q8_0"}},
    "small_context": lambda: {"settings": {"context": 32}},
    "other_file": lambda: {"settings": {"model_bytes": 5}},
    "late_ready": lambda: {"load_ns": 3_600_000_000_000},
    "race": lambda: {"threads_used": THREADS},
}


def sample(fields):
    ids, at = fields["token_ids"], fields["token_at_ns"]
    changed = {
        "bos": lambda: {"n_prompt": fields["n_prompt"] + 1},
        "cache": lambda: {"n_cached": 3},
        "float_times": lambda: {"token_at_ns": [t / 1e9 for t in at]},
        "one_token_short": lambda: {"token_ids": ids[:-1], "token_at_ns": at[:-1]},
        "times_missing": lambda: {"token_at_ns": at[:-1]},
        "stops_at_eos": lambda: {"token_ids": [*ids[:3], 2], "token_at_ns": at[:4]},
        "backwards": lambda: {"token_at_ns": [*at[:-2], at[-1], at[-2]]},
        "all_at_once": lambda: {"token_at_ns": [at[-1]] * len(at)},
        "late_prefill": lambda: {"prefill_ns": at[-1] + 1},
        "microseconds": lambda: {"prefill_ns": 1, "token_at_ns": [t // 1000 + 1 for t in at]},
        "picoseconds": lambda: {"token_at_ns": [t * 1000 + 10**12 for t in at]},
        "chance": lambda: {"token_ids": [*ids[:-1], os.getpid() % 256]},
        "state": lambda: {"token_ids": [(token + fields["rep"]) % 256 for token in ids]},
        "race": lambda: {"token_ids": [(token + THREADS - 1) % 256 for token in ids]},
        "swapped_reps": lambda: {"rep": fields["rep"] + 1},
    }
    return changed.get(WAY, dict)()


def misbehave(event, **fields):
    if WAY == "stray_line" and event == "ready":
        print("Loading weights: 100%", flush=True)
    if WAY == "crash" and event == "sample":
        sys.stderr.write("out of luck\n")
        os._exit(7)
    if WAY == "no_verified" and event == "verified" or WAY == "no_hello" and event == "hello":
        return
    if WAY == "leaves" and event == "hello":
        subprocess.Popen(["sleep", "300"], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if event == "hello":
        fields |= HELLO.get(WAY, {})
    if event == "ready":
        fields |= READY.get(WAY, dict)()
    if event == "sample":
        fields |= sample(fields)
        if WAY == "no_n_cached":
            del fields["n_cached"]
    if event == "verified" and WAY == "logits":
        fields["forced_top"] = [[[token, 9.0 + value] for token, value in entry] for entry in fields["forced_top"]]
    if event == "verified" and WAY == "shifted":
        fields["forced_top"] = [*fields["forced_top"][1:], *fields["forced_top"][:1]]
    if event == "verified" and WAY == "too_few":
        fields["forced_top"] = [entry[:-1] for entry in fields["forced_top"]]
    say(event, **fields)
    if event == "bye" and WAY == "talks_on":
        print("goodbye", flush=True)


def slowly(weights, prompt, n):
    if WAY == "microseconds":
        time.sleep(0.5)
    return generate(weights, prompt, n)


def main():
    global THREADS
    line = sys.stdin.readline()
    if WAY == "waits_for_ever" and not line:
        time.sleep(3600)
    job = json.loads(line)
    if WAY == "strict" and set(job) - {"protocol", "model", "prompts", "cold_generate", "n_generate", "context",
                                       "threads", "kv_type", "batch", "verify"}:
        raise ValueError("unknown fields in the job")
    if WAY == "any_protocol":
        job["protocol"] = 1
    if WAY == "any_context" and job["context"] < 32:
        job["context"] = 10_000
    if WAY == "any_model" and not os.path.exists(job["model"]["path"]):
        job["model"]["path"] = str(EXAMPLE)
    if WAY == "race":
        THREADS, job["threads"] = job["threads"], 1
    if WAY == "dies_of_a_missing_model" and not os.path.exists(job["model"]["path"]):
        os._exit(1)
    example.serve(job)


example.say, example.generate = misbehave, slowly
try:
    main()
except Exception as error:
    say("error", kind="unsupported", message=str(error))
    sys.exit(1)
if WAY == "stays":
    time.sleep(3600)
if WAY != "does_not_wait":
    sys.stdin.read()
if WAY == "exit_code":
    sys.exit(3)
