"""The small language model's schooling: chats about Theatre scripts in which words stand for audio and video.

Where a clip's placeholders will stand, the model reads what the script says of face, voice and scene, in one of two
forms: as text, cues in any order; or as one vector for each placeholder, a noisy mixture of cues, each the
sum of its words' embeddings. The second is what an adapter can learn to write, so that the three phases only have
to align media to words the model knows. All six kinds of question are asked, with modalities missing at random.
Letters: B batch, S text, P placeholders in a batch, M words mixed into one vector, D width.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Qwen2ForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from nanoemox.model.configuration_nanoemox import PLACEHOLDERS
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.theatre import words, world
from nanoemox.theatre.script import Script, stage_script
from nanoemox.training.mixture import spread

CUES_FOR = {"audio": ("voice",), "face": ("face",), "video": ("scene",), "fusion": ("voice", "scene")}
TEXT_SHARE = 0.3  # of chats in which cues stand as text
ABSENCE = {"video": 0.15, "audio": 0.15, "text": 0.1}  # how often a modality is missing
LONGEST_MIXTURE = 24
LOUDEST = 12.0  # how much longer than a word vector an adapter's token may be


class Chat(NamedTuple):
    """One chat: its tokens, which of them are to be learned, and the mixtures for its placeholders, in order."""

    ids: list[int]
    answer: int  # where the answer begins
    mixtures: list[list[tuple[int, float]]]
    noise: list[float]
    loudness: list[float]


class Chats(Dataset[Chat]):
    """Endless chats, fixed by seed and index. Scripts come from the training split only."""

    def __init__(
        self, processor: NanoEmoXProcessor, number: int, seed: int, shares: Mapping[str, float] | None = None
    ) -> None:
        """Endless chats that are fixed by seed and index. Scripts come from the training split only.

        Args:
            processor: writes the prompts.
            number: how many chats there are.
            seed: of the scripts and of what is left out.
            shares: task -> its share of the chats; None, the usual shares.
        """
        self.processor, self.number, self.seed = processor, number, seed
        self.tasks = spread(shares or dict.fromkeys(TASKS, 1.0), number)
        self.tokenizer = processor.tokenizer
        self.kinds = {
            self.tokenizer.convert_tokens_to_ids(token): kind for kind, token in PLACEHOLDERS.items()
        }
        self._phrases: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Chat:
        rng = random.Random(f"{self.seed}/{index}")
        script = stage_script(index, self.seed, "train")
        present = {m for m, share in ABSENCE.items() if rng.random() >= share} or {
            rng.choice(sorted(ABSENCE))
        }
        task = TASKS[self.tasks[index]]
        text = varied_line(script, rng) if "text" in present else None
        prompt = self.processor.prompt(
            task.question(),
            modalities=present - {"text"},
            text=text,
            dialogue=[{"role": r, "text": t} for r, t in script.dialogue]
            if text and script.dialogue
            else None,
        )
        as_text = rng.random() < TEXT_SHARE
        if as_text:
            told = script.describe(rng)
            for kind, token in PLACEHOLDERS.items():
                said = "" if kind == "fusion" else ", ".join(told[cues] for cues in CUES_FOR[kind])
                prompt = prompt.replace(token * self.processor.placeholder_counts[kind], said)
        answer = (
            task.target(Labels(**script.record()["labels"]), present) or ""
        ) + self.processor.end_of_turn
        prompt_ids, answer_ids = self.tokenizer([prompt, answer], add_special_tokens=False)["input_ids"]
        mixtures: list[list[tuple[int, float]]] = []
        noise: list[float] = []
        loudness: list[float] = []
        if not as_text:
            level = rng.uniform(0.0, 0.8)
            for kind in PLACEHOLDERS:
                count = sum(self.kinds.get(token) == kind for token in prompt_ids)
                if count:
                    mixtures += self._mixtures(script, kind, count, rng)
                    noise += [level * rng.uniform(0.5, 1.0) for _ in range(count)]
                    louder = LOUDEST ** rng.random()
                    loudness += [louder * rng.uniform(0.7, 1.4) for _ in range(count)]
        return Chat(prompt_ids + answer_ids, len(prompt_ids), mixtures, noise, loudness)

    def _mixtures(
        self, script: Script, kind: str, count: int, rng: random.Random
    ) -> list[list[tuple[int, float]]]:
        """For each placeholder of a kind: words and their weights. Every cue is in at least one of them."""
        told = script.cues()
        cues = [cue for group in CUES_FOR[kind] for cue in told[group]]
        visible = script.face not in ("still", "hidden") if kind == "face" else script.voice != "drowned"
        if kind in ("face", "audio") and visible:
            cues.append(script.strength_name)
        rng.shuffle(cues)
        vectors: list[list[tuple[int, float]]] = []
        for i in range(count):
            if kind == "fusion" and rng.random() < 0.5:
                vectors.append([])  # what fusion will say is open: half of the time it says nothing
                continue
            if count < len(cues):
                chosen = cues[i::count]
            else:
                chosen = [cues[i] if i < len(cues) else rng.choice(cues)]
            weights = [1.0] * len(chosen)
            while rng.random() < 0.4 and len(chosen) < 4:
                chosen.append(rng.choice(cues))
                weights.append(rng.uniform(0.1, 0.9))
            if rng.random() < 0.15:  # a doubt: something that is not there, faintly
                chosen.append(rng.choice(_ALL_CUES))
                weights.append(rng.uniform(0.05, 0.35))
            vectors.append(self._bag(chosen, weights))
        rng.shuffle(vectors)
        return vectors

    def _bag(self, cues: Sequence[str], weights: Sequence[float]) -> list[tuple[int, float]]:
        bag = [(token, w) for cue, w in zip(cues, weights, strict=True) for token in self._tokens(cue)]
        size = sum(w * w for _, w in bag) ** 0.5
        return [(token, w / size) for token, w in bag][:LONGEST_MIXTURE]

    def _tokens(self, cue: str) -> list[int]:
        if cue not in self._phrases:
            self._phrases[cue] = self.tokenizer(f" {cue}", add_special_tokens=False)["input_ids"]
        return self._phrases[cue]

    @staticmethod
    def length(chat: Chat) -> int:
        return len(chat.ids)

    def collate(self, batch: Sequence[Chat]) -> dict[str, Tensor]:
        """Chats -> input_ids, attention_mask, labels [B, S], mixture_ids, mixture_weights [P, M], noise [P]."""
        length = max(len(chat.ids) for chat in batch)
        ids = torch.full((len(batch), length), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for row, chat in enumerate(batch):
            n = len(chat.ids)
            ids[row, :n] = torch.tensor(chat.ids)
            mask[row, :n] = 1
            labels[row, chat.answer : n] = ids[row, chat.answer : n]
        mixtures = [mixture for chat in batch for mixture in chat.mixtures]
        widest = max((len(mixture) for mixture in mixtures), default=1) or 1
        mixture_ids = torch.zeros(len(mixtures), widest, dtype=torch.long)
        weights = torch.zeros(len(mixtures), widest)
        for row, mixture in enumerate(mixtures):
            for column, (token, weight) in enumerate(mixture):
                mixture_ids[row, column], weights[row, column] = token, weight
        noise = torch.tensor([value for chat in batch for value in chat.noise])
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "mixture_ids": mixture_ids,
            "mixture_weights": weights,
            "noise": noise,
            "loudness": torch.tensor([value for chat in batch for value in chat.loudness]),
        }


_ALL_CUES = tuple(
    dict.fromkeys(
        [
            *(cue for always, optional in world.FACE_CUES.values() for cue in (*always, optional) if cue),
            *(cue for cues in world.VOICE_CUES.values() for cue in cues),
            *world.PLACES,
            *world.PROPS,
            *world.STRENGTHS,
        ]
    )
)


def varied_line(script: Script, rng: random.Random) -> str:
    """The script's line, or a looser wording of it: halves of two sentences of its family, words lost or swapped.

    A small model that reads few wordings learns them by heart; loose ones make it look for the words that carry
    the meaning.
    """
    chance = rng.random()
    if chance < 0.35:
        return script.text
    spoken = script.text.rstrip(".").split()
    if chance < 0.7:  # another core sentence of the family, or halves of two
        lines = []
        for _ in range(2):
            plot = script.plot._replace(mention=False, tone="plain")
            lines.append(words.spoken_line(plot, "train", rng).rstrip(".").split())
        first, second = lines
        cut = rng.randint(0, len(first))
        start = rng.randint(0, max(0, len(second) - 2))
        keep = spoken if script.plot.mention or script.plot.tone != "plain" else []
        spoken = (
            [*first[:cut], *second[start:], *keep[len(keep) // 3 :]] if keep else first[:cut] + second[start:]
        )
    kept = [word for word in spoken if rng.random() > 0.06] or spoken
    if len(kept) > 3 and rng.random() < 0.3:
        i = rng.randrange(len(kept) - 1)
        kept[i], kept[i + 1] = kept[i + 1], kept[i]
    line = " ".join(kept)
    return line[0].upper() + line[1:] + "."


class SchooledLM(Qwen2ForCausalLM):
    """A Qwen2 that also reads mixtures of its own word vectors where placeholders stand."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        mixture_ids: Tensor | None = None,
        mixture_weights: Tensor | None = None,
        noise: Tensor | None = None,
        loudness: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The loss over the answers, with mixtures of words in place of the media's tokens.

        Args:
            input_ids: [B, S], with P placeholders in all.
            attention_mask: [B, S].
            labels: [B, S], -100 outside the answers.
            mixture_ids: [P, M], words that are mixed for each placeholder.
            mixture_weights: [P, M], their weights.
            noise: [P], noise that is added, in units of a word vector's spread.
            loudness: [P], a factor on the whole.
            **kwargs: whatever else the language model takes.

        Returns:
            The language model's output, with its loss.
        """
        if (
            mixture_ids is None
            or mixture_weights is None
            or noise is None
            or loudness is None
            or input_ids is None
            or labels is None
        ):
            return super().forward(
                input_ids=input_ids, attention_mask=attention_mask, labels=labels, **kwargs
            )
        embed = self.get_input_embeddings()
        embeddings = embed(input_ids)
        if len(mixture_ids):
            vectors = (embed(mixture_ids) * mixture_weights[..., None]).sum(dim=1)  # [P, D]
            size = embed.weight.detach().std()
            vectors = vectors + torch.randn_like(vectors) * (noise * size)[:, None]
            vectors = vectors * loudness[:, None]  # an adapter's tokens may be longer than word vectors
            where = torch.isin(input_ids, torch.tensor(self.config.placeholder_ids, device=input_ids.device))
            embeddings = embeddings.masked_scatter(where[..., None], vectors)
        hidden = self.model(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
        learned = labels[:, 1:] != -100  # only what is learned goes through the output layer
        logits = self.lm_head(hidden[:, :-1][learned])
        return CausalLMOutputWithPast(loss=functional.cross_entropy(logits, labels[:, 1:][learned]))
