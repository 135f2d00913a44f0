"""Tests of harness_runner with backends of their own; the standard library is enough.

    python3 -m unittest discover --start-directory harness/runners/python
"""

from __future__ import annotations

import array
import io
import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import harness_runner as hr


class Counter(hr.StepBackend):
    """Its likeliest of four tokens is the remainder of the prompt's sum, then one more each time."""

    name = "counter"
    version = "1.2"
    build = "none"
    weights_class = "A"

    def load(self, job: hr.Job) -> int:
        if job.model_path == Path("/missing"):
            raise hr.RunnerError("model", "/missing: no such file")
        return job.threads

    def told_settings(self) -> dict[str, Any]:
        return {"context": 8}

    def prepare(self, model: Path, out: Path) -> None:
        (out / "copy").write_bytes(model.read_bytes())

    def clear(self) -> None:
        self.last: int | None = None

    def prefill(self, prompt: list[int]) -> int:
        assert self.last is None, "cleared"
        self.last = sum(prompt) % 4
        return self.last

    def decode(self, token: int) -> int:
        self.last = (token + 1) % 4
        return self.last

    def logits(self) -> Any:
        values = array.array("f", [0.0] * 4)
        values[self.last] = 2.0
        return values


class OwnLoop(hr.Backend):
    """Generates by itself, tells what it counted, and no distributions."""

    name = "own-loop"
    version = "0.1"
    weights_class = "C"

    def load(self, job: hr.Job) -> int:
        return 1

    def generate(self, prompt: list[int], n: int, on_token: hr.OnToken) -> hr.Counts | None:
        for token in range(n):
            on_token(token)
        return hr.Counts(n_prompt=len(prompt) + 1, n_cached=1)


def job(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": 1,
        "model": {"path": __file__, "sha256": "0"},
        "prompts": [[1, 2], [3, 4]],
        "cold_generate": 1,
        "n_generate": 3,
        "context": 8,
        "threads": 2,
        "kv_type": "f16",
        "batch": 4,
        "verify": {"prompt": [9], "n_tokens": 2, "top_k": 1, "forced": [5, 6, 7]},
        **changes,
    }


def answers(backend: hr.Backend, asked: Any) -> tuple[list[dict[str, Any]], bool]:
    """The events, and whether all went well."""
    events = io.StringIO()
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        went_well = hr.serve(backend, io.StringIO(json.dumps(asked) + "\n"), events)
    finally:
        sys.stderr = stderr
    return [json.loads(line) for line in events.getvalue().splitlines()], went_well


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


class Serving(unittest.TestCase):
    def test_a_job_is_answered_in_the_protocols_order(self) -> None:
        events, went_well = answers(Counter({}), job())
        self.assertTrue(went_well)
        order = [event["event"] for event in events if event["event"] != "phase"]
        self.assertEqual(order, ["hello", "ready", "sample", "sample", "verified", "bye"])
        self.assertEqual([p["name"] for p in named(events, "phase")], ["cold", "sample", "verify"])
        ready = named(events, "ready")[0]
        self.assertEqual((ready["threads_used"], ready["settings"]), (2, {"context": 8}))
        cold, warm = named(events, "sample")
        self.assertEqual((cold["token_ids"], warm["token_ids"]), ([3], [3, 0, 1]))
        self.assertEqual((warm["rep"], warm["n_prompt"], warm["n_cached"]), (1, 2, 0))
        self.assertEqual(warm["token_at_ns"], sorted(warm["token_at_ns"]))
        self.assertEqual(warm["prefill_ns"], warm["token_at_ns"][0])
        self.assertEqual(len(warm["token_at_ns"]), 3)

    def test_verification_has_the_likeliest_tokens_of_each_position(self) -> None:
        told = named(answers(Counter({}), job())[0], "verified")[0]
        self.assertEqual(told["token_ids"], [1, 2])
        self.assertEqual(told["top_logits"], [[[1, 2.0]], [[2, 2.0]]])
        # After the prompt, after 5, after 6.
        self.assertEqual([top[0][0] for top in told["forced_top"]], [1, 2, 3])
        for top in told["forced_top"]:
            self.assertAlmostEqual(top[0][1], -math.log(1 + 3 * math.exp(-2)), places=6)

    def test_nothing_is_told_that_was_not_asked_for(self) -> None:
        verify = {"prompt": [9], "n_tokens": 2, "top_k": 0, "forced": [5]}
        told = named(answers(Counter({}), job(verify=verify))[0], "verified")[0]
        self.assertEqual((told["top_logits"], told["forced_top"]), ([], []))
        events, _ = answers(Counter({}), job(verify=None, cold_generate=0))
        self.assertEqual(named(events, "verified"), [])
        self.assertEqual([len(s["token_ids"]) for s in named(events, "sample")], [3, 3])

    def test_a_framework_with_a_loop_of_its_own_tells_its_counts(self) -> None:
        events, went_well = answers(OwnLoop({}), job())
        self.assertTrue(went_well)
        warm = named(events, "sample")[1]
        self.assertEqual((warm["n_prompt"], warm["n_cached"], warm["token_ids"]), (3, 1, [0, 1, 2]))
        told = named(events, "verified")[0]
        self.assertEqual((told["token_ids"], told["top_logits"], told["forced_top"]), ([0, 1], [], []))

    def test_what_cannot_be_done_is_said(self) -> None:
        def last(asked: Any, backend: hr.Backend | None = None) -> tuple[str, str]:
            events, went_well = answers(backend or Counter({}), asked)
            self.assertFalse(went_well)
            return events[-1]["kind"], events[-1]["message"]

        missing = job(model={"path": "/missing", "sha256": "0"})
        self.assertEqual(last(missing), ("model", "/missing: no such file"))
        narrow = "2 prompt and 3 generated tokens do not fit a context of 4"
        self.assertEqual(last(job(context=4)), ("unsupported", narrow))
        self.assertEqual(last(job(protocol=2)), ("protocol", "this runner speaks protocol 1, the job is of 2"))
        self.assertEqual(last({"protocol": 1})[0], "protocol")

        class Full(Counter):
            def decode(self, token: int) -> int:
                raise MemoryError("no room")

        class Mad(Counter):
            def logits(self) -> Any:
                return [math.nan] * 4

        self.assertEqual(last(job(), Full({})), ("memory", "MemoryError: no room"))
        self.assertEqual(last(job(), Mad({}))[0], "internal")


class Arithmetic(unittest.TestCase):
    def test_the_largest_come_first_and_of_equals_the_smaller_id(self) -> None:
        self.assertEqual(hr.largest([1.0, 3.0, 2.0, 3.0, -1.0], 3), [(1, 3.0), (3, 3.0), (2, 2.0)])
        self.assertEqual(hr.largest([1.0], 0), [])

    def test_log_probabilities_are_over_all_logits(self) -> None:
        [(index, told)] = hr.largest_log_probabilities([0.0, math.log(3), 0.0], 1)
        self.assertEqual(index, 1)
        self.assertAlmostEqual(math.exp(told), 0.6)
        # Far beyond what an exponential can hold.
        far = hr.largest_log_probabilities([1e4, 1e4 - 1, -math.inf], 2)
        self.assertAlmostEqual(sum(math.exp(value) for _, value in far), 1.0)


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
import harness_runner, test_harness_runner

class Noisy(test_harness_runner.Counter):
    def load(self, job):
        print("from Python")
        os.write(1, b"from a library\\n")
        return super().load(job)

sys.exit(harness_runner.main(Noisy))
"""


class Program(unittest.TestCase):
    def run_program(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), *args]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)

    def test_stdout_has_events_only(self) -> None:
        done = self.run_program(stdin=json.dumps(job()) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([json.loads(line)["event"] for line in done.stdout.splitlines()][-1], "bye")
        self.assertIn("from Python", done.stderr)
        self.assertIn("from a library", done.stderr)

    def test_it_waits_until_stdin_is_closed(self) -> None:
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
        with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True) as child:
            child.stdin.write(json.dumps(job()) + "\n")
            child.stdin.flush()
            while json.loads(child.stdout.readline())["event"] != "bye":
                pass
            self.assertIsNone(child.poll())
            child.stdin.close()
            self.assertEqual(child.wait(timeout=60), 0)

    def test_version_and_wrong_arguments(self) -> None:
        self.assertTrue(self.run_program("--version").stdout.startswith("counter 1.2 (none; Python 3."))
        self.assertEqual(self.run_program("--check").returncode, 0)
        wrong = self.run_program("--dance")
        self.assertEqual((wrong.returncode, wrong.stdout), (2, ""))
        self.assertIn("runner --prepare MODEL OUT", wrong.stderr)

    def test_a_model_is_prepared_and_its_size_kept(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model, out = Path(folder, "m=1.gguf"), Path(folder, "out")
            model.write_bytes(b"12345")
            out.mkdir()
            self.assertEqual(hr.prepared_from(out), None)
            done = self.run_program("--prepare", str(model), str(out), "dtype=float32")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual((out / "copy").read_bytes(), b"12345")
            self.assertEqual(hr.prepared_from(out), 5)


if __name__ == "__main__":
    unittest.main()
