"""Tests of the pure parts. Standard library only: `python3 -m unittest test_openvino` in this folder, with the folder
above on PYTHONPATH."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from unittest import mock

with mock.patch("importlib.metadata.version", return_value="1"):
    import runner


class Settings(unittest.TestCase):
    def test_what_is_auto_is_left_to_openvino(self) -> None:
        fixed = {"INFERENCE_NUM_THREADS": 2, "PERFORMANCE_HINT": "LATENCY", "KV_CACHE_PRECISION": "f16"}
        self.assertEqual(runner.properties({}, 2, "f16"), fixed)
        self.assertEqual(runner.properties({"inference_precision": "auto"}, 2, "f16"), fixed)
        chosen = runner.properties({"inference_precision": "f32", "activation_group": "0"}, 2, "f16")
        self.assertEqual(chosen["INFERENCE_PRECISION_HINT"], "f32")
        self.assertEqual(chosen["DYNAMIC_QUANTIZATION_GROUP_SIZE"], "0")

    def test_the_cache_holds_the_context(self) -> None:
        self.assertEqual([runner.kv_blocks(n) for n in (1, 32, 33, 2048)], [1, 1, 2, 64])

    def test_the_class_is_that_of_the_worst_tensor(self) -> None:
        self.assertEqual(runner.weights_class(["F32", "Q4_0", "Q8_0"]), "B")
        self.assertEqual(runner.weights_class(["F32", "Q4_0", "Q6_K"]), "C")
        self.assertEqual(runner.weights_class(["F32", "Q4_1"]), "C")

    def test_a_model_gets_the_name_by_which_its_format_is_known(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder, "b179")
            model.write_text("weights")
            link = runner.linked(model, Path(folder))
            self.assertEqual((link.suffix, link.read_text()), (".gguf", "weights"))


if __name__ == "__main__":
    unittest.main()
