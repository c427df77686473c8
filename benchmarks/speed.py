"""Six answers about a clip against `generate` question by question; a step against the memory; a peer's shape.

    nanoemox assemble --random nano runs/nano
    OMP_WAIT_POLICY=PASSIVE python benchmarks/speed.py [--model runs/nano] [--parts six closed step …]

- six: `EmotionAnalyzer` about one clip, against encoding, reading the prompt and transformers' `generate` anew for each
  question, with the same weights, precision and lengths of answers. The lengths are the medians of the answers of
  `pico` to 120 clips. Random weights write no candidate, so closed answers take their steps here.
- closed: the three closed questions with their texts, once the clip is encoded: from the likelihoods of the candidates,
  against writing the texts step by step beside them.
- step: one step of decoding for one row and for six, against summing a large tensor: which share of the memory's
  streamed-read bandwidth the weights of the language model are read with.
- encoders: `model.encode` against the three modules of transformers alone.
- peer: the same clip and one question to Qwen3-VL-2B with random weights, built from transformers' configuration.

Any model folder that `EmotionAnalyzer` loads will do, an exported one, too (its `generate` is left out where it has
none). Threads that wait must sleep (OMP_WAIT_POLICY), else they count as work. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from meter import machine, peak_gb, print_parts, ratio, reset_peak, take_turns
from torch import nn

from nanoemox.checkpoints.load import load_config
from nanoemox.inference import decoding
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.few_rows import FewRowsLinear, for_few_rows
from nanoemox.media.clip import PRESENT
from nanoemox.media.load import load_clip
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.task import TASKS

ROOT = Path(__file__).parents[1]
PARTS = ("six", "closed", "step", "encoders", "peer")
# Tokens of an answer with its end: medians of pico's answers to the first 120 clips of a test set of Theatre.
LENGTHS = {
    "sentiment": 9,
    "emotion": 8,
    "open_vocabulary": 9,
    "intent": 2,
    "reasoning": 44,
    "empathy": 80,
}


@contextmanager
def as_transformers_has_it(model: nn.Module) -> Iterator[None]:
    """The language model without our way of multiplying few rows."""
    changed = [module for module in model.modules() if type(module) is FewRowsLinear]
    for module in changed:
        module.__class__ = nn.Linear
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = FewRowsLinear


class Speed:
    """The model, the clip, and the ways that are timed."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        if given.nano_layers is not None:
            self.model = nano_with_layers(given.nano_layers, given.device)
            return
        self.analyzer = EmotionAnalyzer.from_pretrained(
            given.model, device=given.device, dtype=given.dtype, check=False
        )
        self.model, self.processor = self.analyzer.model, self.analyzer.processor
        self.clip = load_clip(given.clip, compat=self.processor.compat)
        self.lengths = {
            name: max(1, round(n * given.share_of_lengths)) for name, n in LENGTHS.items() if name in TASKS
        }
        self.model.generation_config.task_max_new_tokens = self.lengths

    def together(self) -> object:
        """Six answers as the analyzer gives them."""
        return self.analyzer.analyze(self.clip, text=self.given.text, write=True)

    def one_by_one(self, lengths: dict[str, int] | None = None) -> object:
        """Every question by itself, as transformers has it."""
        answers = []
        with as_transformers_has_it(self.model):
            for name, length in (lengths or self.lengths).items():
                answers.append(self._generate(name, length))
        return answers

    @torch.inference_mode()
    def _generate(self, name: str, length: int) -> Any:
        present = {kind for kind, state in self.clip.modalities.items() if state == PRESENT}
        prompt = self.processor.prompt(TASKS[name].question(), modalities=present, text=self.given.text)
        inputs = self.processor(prompt, videos=self.clip, audio=self.clip)
        inputs = {
            key: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        return self.model.generate(**inputs, max_new_tokens=length, min_new_tokens=length, do_sample=False)

    # ------------------------------------------------------------ parts
    def six(self) -> dict[str, Any]:
        ways: dict[str, Callable[[], object]] = {"together": self.together}
        if hasattr(self.model, "generate"):
            ways["one_by_one"] = self.one_by_one
        found: dict[str, Any] = take_turns(ways, self.given.repeats, self.given.device, self.given.warm)
        if len(found) == 2:
            found["ratio"] = ratio(found["one_by_one"], found["together"])
        found["new_tokens"] = self.lengths
        return found

    def closed(self) -> dict[str, Any]:
        tasks = [name for name, task in TASKS.items() if isinstance(task, ClosedTask)]
        request = self.analyzer.request(self.clip, self.given.text, tasks, write=True)
        features = self.analyzer._features([request], [{**self.clip.modalities, "text": PRESENT}])
        told = decoding._greedy_start

        def answer(start: Callable[..., Any]) -> list[str]:
            decoding._greedy_start = start
            [answers] = self.analyzer.answer_batch([request], features)
            decoding._greedy_start = told
            return [result.text for result in answers.tasks.values()]

        def nothing(*_: Any) -> list[int]:
            return []

        ways = {"from_likelihoods": lambda: answer(told), "step_by_step": lambda: answer(nothing)}
        found: dict[str, Any] = take_turns(ways, self.given.repeats, self.given.device)
        found["ratio"] = ratio(found["step_by_step"], found["from_likelihoods"])
        found["same_texts"] = answer(told) == answer(nothing)
        return found

    @torch.inference_mode()
    def step(self) -> dict[str, Any]:
        language_model = self.model.language_model
        weights = {p.data_ptr(): p.numel() * p.element_size() for p in language_model.parameters()}
        read = sum(weights.values())
        large = max(language_model.parameters(), key=torch.Tensor.numel).detach().flatten()
        large = large[: large.numel() // 8 * 8].view(
            torch.int64
        )  # summing whole numbers is bound by the memory alone
        prompts = [[[5 + row] * 150] for row in range(6)]
        found: dict[str, Any] = {"weights_gb": round(read / 1e9, 3)}
        for rows in (1, 6):
            branches, _ = decoding.read_prompts(self.model, prompts[:rows], {})
            token = torch.full((rows, 1), 7, device=self.model.device)

            def one(branches: Any = branches, token: Any = token, rows: int = rows) -> None:
                decoding._read_on(self.model, branches.take(range(rows)), token, torch.ones_like(token))

            def plain(one: Any = one) -> None:
                with as_transformers_has_it(language_model):
                    one()

            ways = {"sum": large.sum, "step": one, "step_of_transformers": plain}
            times = take_turns(ways, self.given.repeats * 3, self.given.device)
            bandwidth = {
                key: large.numel() * 8 / 1e9 / max(times["sum"][key], 1e-6)
                for key in ("seconds", "processor_s")
            }
            found[f"rows_{rows}"] = {
                **times,
                "bandwidth_gb_s": {key: round(value, 2) for key, value in bandwidth.items()},
                **{
                    f"share_of_bandwidth_{way}": {
                        key: round(read / 1e9 / times[way][key] / bandwidth[key], 3) for key in bandwidth
                    }
                    for way in ("step", "step_of_transformers")
                },
            }
        return found

    @torch.inference_mode()
    def encoders(self) -> dict[str, Any]:
        tensors = {
            name: value[None].to(self.model.device, self.model.dtype)
            for name, value in self.processor.media(self.clip).items()
        }

        def alone() -> None:
            model, depth = self.model, {"output_hidden_states": True}
            model.vision_encoder.model(tensors["pixel_values_videos"][0], **depth)
            model.audio_encoder.model(tensors["input_values"][0], **depth)
            model.face_encoder.model(tensors["face_pixel_values"][0], **depth)

        found: dict[str, Any] = take_turns(
            {"encode": lambda: self.model.encode(**tensors), "modules_alone": alone},
            self.given.repeats,
            self.given.device,
        )
        found["ratio"] = ratio(found["encode"], found["modules_alone"])
        return found

    def peer(self) -> dict[str, Any]:
        reset_peak(self.given.device)
        before = peak_gb(self.given.device)
        model, inputs = qwen3_vl_2b(self.given.device, self.given.peer_layers)
        length = max(self.lengths.values())

        def one_question() -> object:
            return model.generate(**inputs, max_new_tokens=length, min_new_tokens=length, do_sample=False)

        ways = {"six_of_ours": self.together, "one_of_peer": one_question}
        found: dict[str, Any] = take_turns(ways, self.given.repeats, self.given.device, self.given.warm)
        size = {p.data_ptr(): p.numel() * p.element_size() for p in model.parameters()}
        own = {p.data_ptr(): p.numel() * p.element_size() for p in self.model.parameters()}
        return found | {
            "peer": "Qwen3-VL-2B, random weights, 8 frames of 224 x 224, no audio",
            "peer_new_tokens": length,
            "ratio": ratio(found["one_of_peer"], found["six_of_ours"]),
            "peer_weights_gb": round(sum(size.values()) / 1e9, 3),
            "our_weights_gb": round(sum(own.values()) / 1e9, 3),
            "process_gb_before_peer": before,
        }


def nano_with_layers(layers: int, device: str) -> Any:
    """The shape of `nano` with so many layers in its language model, random weights there, and nothing elsewhere."""
    config = load_config("nano")
    config.text_config.num_hidden_layers = layers
    config.text_config.layer_types = config.text_config.layer_types[:layers]
    with torch.device("meta"):
        model = NanoEmoXForConditionalGeneration(config).to(torch.bfloat16)
    model.to_empty(device=device)
    fill(model.language_model, config.text_config.rope_parameters["rope_theta"])
    model.tie_weights()
    for_few_rows(model.language_model)
    return model.eval()


def fill(model: nn.Module, rope_theta: float) -> None:
    """Random weights, and the frequencies of the rotary embeddings, which `to_empty` leaves out."""
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02)
    for name, buffer in model.named_buffers():
        base = 10_000.0 if "visual" in name else rope_theta
        steps = torch.arange(buffer.shape[-1], device=buffer.device) / buffer.shape[-1]
        buffer.copy_(base**-steps)


def qwen3_vl_2b(device: str, layers: int) -> tuple[Any, dict[str, torch.Tensor]]:
    """The shape of Qwen3-VL-2B-Instruct with random weights in bfloat16, and one question about eight frames."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {
        "rope_type": "default",
        "rope_theta": 5_000_000,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    }
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": layers,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
            "rope_parameters": rope,
        },
        vision_config={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(config).to(torch.bfloat16)
    model.to_empty(device=device)
    fill(model, 5_000_000.0)
    model.tie_weights()
    words = [1000] * 30
    pictures = [
        config.vision_start_token_id,
        *[config.video_token_id] * 49,
        config.vision_end_token_id,
    ] * 4
    ids = torch.tensor([[*words, *pictures, *words]], device=device)
    return model.eval(), {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == config.video_token_id).int() * 2,
        "pixel_values_videos": torch.randn(4 * 14 * 14, 1536, dtype=torch.bfloat16, device=device),
        "video_grid_thw": torch.tensor([[4, 14, 14]], device=device),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="pico", help="a name or a folder")
    parser.add_argument(
        "--nano-layers",
        type=int,
        metavar="N",
        help="the part step alone, with N of nano's 28 layers and no folder",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--clip", type=Path, default=ROOT / "demo" / "sample.mp4")
    parser.add_argument("--text", default=(ROOT / "demo" / "sample.txt").read_text(encoding="utf-8").strip())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="of the weights; without it, that of the files, or bfloat16 on a GPU")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-warm", dest="warm", action="store_false", help="no run of each way before")
    parser.add_argument("--share-of-lengths", type=float, default=1.0, help="shorter answers, for a try")
    parser.add_argument("--peer-layers", type=int, default=28, help="fewer, for a try")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    speed = Speed(given)
    about: dict[str, Any] = {
        "benchmark": "speed",
        "command": f"python benchmarks/speed.py {' '.join(sys.argv[1:])}",
        "model": Path(given.model).name if given.nano_layers is None else f"nano, {given.nano_layers} layers",
        "dtype": str(speed.model.dtype).removeprefix("torch."),
        **machine(given.device),
    }
    print_parts(about, speed, given.parts if given.nano_layers is None else ("step",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
