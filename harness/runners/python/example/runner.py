#!/usr/bin/env python3
"""Example runner: a TOY language model behind the runner protocol, version 1. Its weights are 256 numbers made from the
first bytes of the model file; it computes from the ids, but nothing that means anything. So it says weights class C."""
import hashlib, json, math, sys, time

VOCAB = 256

def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()  # at once: the launcher stamps each line when it reads it

def load(path):
    with open(path, "rb") as file:
        return hashlib.shake_256(file.read(1 << 20)).digest(VOCAB), file.seek(0, 2)

def logits(weights, ids):  # a real runner computes the new ids alone and keeps the rest in its KV cache
    state = sum((place + 1) * token for place, token in enumerate(ids))
    return [weights[(state + token * (ids[-1] + 1)) % VOCAB] / 16 + token / 4096 for token in range(VOCAB)]

def top(values, k):  # natural log-probabilities over the whole vocabulary, largest first
    log_sum = math.log(sum(map(math.exp, values)))
    return sorted(([token, value - log_sum] for token, value in enumerate(values)), key=lambda pair: -pair[1])[:k]

def generate(weights, prompt, n):
    ids, stamps, start = list(prompt), [], time.monotonic_ns()
    while len(stamps) < n:  # greedy, past any end of sequence; nothing is written between the first stamp and the last
        values = logits(weights, ids)
        ids.append(values.index(max(values)))
        stamps.append(time.monotonic_ns() - start)
    return ids[len(prompt):], stamps

def serve(job):
    if job["protocol"] != 1 or job["threads"] != 1:
        raise ValueError(f"only protocol 1 on one thread, not {job['protocol']} on {job['threads']}")
    say("hello", framework="toy", version="1.0", build="pure Python", weights_class="C", features=["toy"])
    start = time.monotonic_ns()
    weights, model_bytes = load(job["model"]["path"])
    settings = {"context": job["context"], "model_bytes": model_bytes}
    say("ready", load_ns=time.monotonic_ns() - start, threads_used=1, settings=settings)
    for rep, prompt in enumerate(job["prompts"]):
        n = job["cold_generate"] if rep == 0 and job["cold_generate"] > 0 else job["n_generate"]
        if len(prompt) + n > job["context"]:
            raise ValueError(f"{len(prompt)} and {n} tokens do not fit a context of {job['context']}")
        ids, at = generate(weights, prompt, n)
        say("sample", rep=rep, n_prompt=len(prompt), n_cached=0, prefill_ns=at[0], token_ids=ids, token_at_ns=at)
    if verify := job["verify"]:
        prompt, forced, k = verify["prompt"], verify.get("forced", []), verify["top_k"]
        lists = [top(logits(weights, prompt + forced[:i]), k) for i in range(len(forced) if k else 0)]
        say("verified", token_ids=generate(weights, prompt, verify["n_tokens"])[0], forced_top=lists)
    say("bye")

if __name__ == "__main__":
    try:
        serve(json.loads(sys.stdin.readline()))
    except Exception as error:
        say("error", kind="unsupported" if isinstance(error, ValueError) else "model", message=str(error))
        sys.exit(1)
    sys.stdin.read()  # the launcher reads this process's memory now, and closes stdin when it has
