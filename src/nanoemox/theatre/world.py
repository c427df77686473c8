"""The laws of Affect Theatre: which emotions, causes, expressions, voices and intents go together, and how often.

Everything that links a label to what can be seen, heard or read stands in the tables below, so the best score any
observer could reach from any subset of modalities follows by summing over them (`ceilings`). By design no single
modality suffices: one face group or one voice style is shared by several emotions and only the pair settles which,
and one wording family serves two intents which only the emotion tells apart.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

from nanoemox.theatre.dials import DEFAULT, Dials

_K = TypeVar("_K")

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
STRENGTHS = ("mild", "strong")
PLACES = ("kitchen", "office", "street", "living room", "station", "hospital", "classroom", "stage")
LIGHTS = ("bright", "dim")

# Face groups and voice styles with the cues each always shows, then the one it shows half of the time.
FACE_CUES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "smile": (("lip corners pulled up", "cheeks raised"), None),
    "wide": (("raised brows", "wide eyes"), "open mouth"),
    "frown": (("lowered brows", "pressed lips"), "wrinkled nose"),
    "droop": (("inner brows raised", "lip corners pulled down"), "drooping eyelids"),
    "still": (("a still face",), None),
    "hidden": (("face turned away",), None),
}
VOICE_CUES: dict[str, tuple[str, ...]] = {
    "bright": ("wide pitch swings", "a lively pace"),
    "harsh": ("a harsh tone", "hard attacks"),
    "trembling": ("a trembling pitch", "a breathy tone"),
    "flat": ("a flat melody", "an even pace"),
    "slow": ("a falling melody", "a slow pace"),
    "drowned": ("noise over the voice",),
}
DROWNED_SHARE = 0.04  # of clips whose voice cannot be heard through noise
OPTIONAL_SHARE = 0.5  # of clips that show their face group's optional cue
EXTRA_SHARE = 0.25  # of clips with an audible sigh; the same for a rising end; neither tells anything
MENTION_SHARE = 0.6  # of clips whose words name the cause
SUGGESTION_POWER = 0.4  # how much of the causes' suggestions below is kept: 0 none, 1 all

# How each emotion shows itself: (face group, voice style) -> share. A pair belongs to one emotion only.
DISPLAYS: dict[str, dict[tuple[str, str], float]] = {
    "anger": {
        ("frown", "harsh"): 0.50,
        ("still", "harsh"): 0.20,
        ("smile", "harsh"): 0.15,
        ("wide", "harsh"): 0.15,
    },
    "disgust": {("frown", "flat"): 0.40, ("smile", "flat"): 0.30, ("frown", "slow"): 0.30},
    "fear": {("wide", "trembling"): 0.50, ("still", "trembling"): 0.30, ("frown", "trembling"): 0.20},
    "happiness": {("smile", "bright"): 0.55, ("still", "bright"): 0.25, ("smile", "slow"): 0.20},
    "neutral": {("still", "flat"): 0.80, ("droop", "flat"): 0.20},
    "sadness": {
        ("droop", "slow"): 0.40,
        ("droop", "trembling"): 0.20,
        ("smile", "trembling"): 0.25,
        ("still", "slow"): 0.15,
    },
    "surprise": {("wide", "bright"): 0.50, ("wide", "flat"): 0.25, ("frown", "bright"): 0.25},
}

# Where face and voice disagree, the display has a name of its own in the open vocabulary (a group of emotion_wheel).
BLENDS: dict[tuple[str, str], str] = {
    ("smile", "trembling"): "wistful",
    ("smile", "flat"): "contemptuous",
    ("smile", "harsh"): "resentful",
    ("still", "harsh"): "reserved",
    ("still", "trembling"): "reserved",
    ("still", "bright"): "reserved",
}
PRIMARY_GROUPS: dict[tuple[str, str], str] = {
    ("happiness", "strong"): "joyful",
    ("happiness", "mild"): "content",
    ("sadness", "strong"): "heartbroken",
    ("sadness", "mild"): "sad",
    ("anger", "strong"): "furious",
    ("anger", "mild"): "annoyed",
    ("fear", "strong"): "terrified",
    ("fear", "mild"): "anxious",
    ("disgust", "strong"): "revolted",
    ("disgust", "mild"): "displeased",
    ("surprise", "strong"): "astonished",
    ("surprise", "mild"): "surprised",
    ("neutral", "strong"): "calm",
    ("neutral", "mild"): "calm",
}
# What an intent adds to the open vocabulary.
ATTITUDES = {
    "thank": "grateful",
    "apologise": "guilty",
    "flaunt": "proud",
    "care": "caring",
    "comfort": "caring",
    "joke": "playful",
    "oppose": "defiant",
    "ask for help": "hopeful",
}
VALENCE = {
    "anger": -0.80,
    "disgust": -0.70,
    "fear": -0.75,
    "happiness": 0.80,
    "neutral": 0.0,
    "sadness": -0.70,
    "surprise": 0.10,
}
POLARITY = {e: "positive" if v > 0.3 else "negative" if v < -0.3 else "neutral" for e, v in VALENCE.items()}

# Causes: the prop that is seen, the event it belongs to, and how strongly it suggests each emotion (order of EMOTIONS).
_CAUSES: dict[str, tuple[str, tuple[float, ...]]] = {
    "birthday cake": ("a celebration", (0.4, 0.8, 0.4, 4.0, 1.0, 1.0, 2.0)),
    "wrapped gift": ("a celebration", (0.4, 0.8, 0.5, 2.0, 1.0, 0.5, 4.0)),
    "trophy": ("a competition", (1.0, 0.6, 0.4, 3.0, 1.2, 0.6, 2.0)),
    "letter": ("a message", (0.7, 0.4, 2.0, 1.0, 2.0, 2.0, 2.0)),
    "broken vase": ("an accident", (4.0, 0.5, 1.0, 0.3, 0.7, 2.0, 1.0)),
    "spilled drink": ("an accident", (2.5, 2.0, 0.5, 0.6, 1.5, 0.6, 1.0)),
    "packed suitcase": ("a departure", (0.5, 0.3, 1.2, 1.5, 2.0, 3.0, 0.6)),
    "late clock": ("a delay", (3.0, 0.6, 2.0, 0.4, 2.2, 0.6, 0.6)),
    "lightning": ("a danger", (0.4, 0.3, 4.0, 0.4, 1.0, 0.6, 2.0)),
    "spider": ("a danger", (0.4, 3.0, 3.0, 0.3, 0.7, 0.3, 1.2)),
    "wilted plant": ("a loss", (0.6, 1.0, 0.4, 0.3, 2.0, 4.0, 0.5)),
    "spoiled food": ("a mess", (1.2, 5.0, 0.4, 0.3, 1.0, 0.5, 0.8)),
}
PROPS = tuple(_CAUSES)
EVENTS = {prop: event for prop, (event, _) in _CAUSES.items()}

# Wording families: the cue a listener would name, the two intents they serve, and how readily each emotion uses them.
# The first intent is meant by the emotions of the first table, the second by those of the second.
FAMILIES: dict[str, tuple[str, tuple[str, dict[str, float]], tuple[str, dict[str, float]]]] = {
    "praise": (
        "words of praise",
        ("praise", {"happiness": 1.7, "surprise": 1.0, "neutral": 0.9, "fear": 0.3, "sadness": 0.4}),
        ("taunt", {"anger": 1.9, "disgust": 2.4}),
    ),
    "grumble": (
        "words of complaint",
        ("complain", {"anger": 1.2, "disgust": 1.1, "sadness": 0.6, "fear": 0.4, "neutral": 0.4}),
        ("joke", {"happiness": 1.9, "surprise": 1.6}),
    ),
    "sorry": (
        "words of regret",
        ("apologise", {"sadness": 1.6, "fear": 1.1, "neutral": 1.0}),
        ("oppose", {"anger": 1.3, "disgust": 1.1, "surprise": 0.8, "happiness": 0.4}),
    ),
    "thanks": (
        "words of thanks",
        ("thank", {"happiness": 1.4, "surprise": 1.1, "sadness": 0.5, "neutral": 0.7, "fear": 0.2}),
        ("criticize", {"anger": 1.9, "disgust": 2.0}),
    ),
    "wellbeing": (
        "words of concern",
        ("care", {"sadness": 1.4, "fear": 1.5, "disgust": 0.5, "anger": 0.3}),
        ("greet", {"happiness": 1.2, "surprise": 1.2, "neutral": 1.3}),
    ),
    "news": (
        "words of news",
        ("flaunt", {"happiness": 1.8, "surprise": 1.8}),
        ("inform", {"neutral": 1.6, "sadness": 0.7, "fear": 0.5, "anger": 0.4, "disgust": 0.4}),
    ),
    "going": (
        "words of parting",
        ("leave", {"anger": 1.0, "disgust": 1.0, "sadness": 1.0, "fear": 0.7}),
        ("arrange", {"happiness": 1.2, "neutral": 1.5, "surprise": 1.0}),
    ),
    "consent": (
        "words of assent",
        ("agree", {"happiness": 0.9, "neutral": 1.1, "surprise": 0.9, "disgust": 0.2, "anger": 0.3}),
        ("comfort", {"sadness": 1.7, "fear": 1.7}),
    ),
    "caution": (
        "words of caution",
        ("prevent", {"fear": 1.5, "anger": 1.1, "disgust": 1.0}),
        ("advise", {"neutral": 1.3, "happiness": 0.8, "surprise": 0.6, "sadness": 0.9}),
    ),
    "request": (
        "words of request",
        ("ask for help", {"fear": 1.5, "sadness": 1.2, "anger": 0.5, "disgust": 0.3}),
        ("introduce", {"happiness": 1.2, "neutral": 1.4, "surprise": 0.9}),
    ),
}
INTENTS = tuple(sorted(intent for _, first, second in FAMILIES.values() for intent in (first[0], second[0])))
INTENT_OF = {
    (family, emotion): intent
    for family, (_, *sides) in FAMILIES.items()
    for intent, weights in sides
    for emotion in weights
}

# A closing remark colours some lines; it only leans towards the emotion and so misleads at times.
TONES = ("plain", "glad", "sour")
_TONE_SHARES = {
    "positive": (0.80, 0.115, 0.085),
    "neutral": (0.80, 0.10, 0.10),
    "negative": (0.80, 0.085, 0.115),
}


# The moments of a clip at which a face flares up and a voice cries out (dial `timing`). Half of the time both are the
# same moment; neither alone tells anything of whether they are.
MOMENTS = ("beginning", "middle", "end")


class Timing(NamedTuple):
    """When the face flares up, and when the voice cries out."""

    face: str
    voice: str

    @property
    def together(self) -> bool:
        return self.face == self.voice

    @property
    def leads(self) -> str:
        """Which of the two comes first: "face", "voice" or "neither"."""
        gap = MOMENTS.index(self.face) - MOMENTS.index(self.voice)
        return "neither" if not gap else "face" if gap < 0 else "voice"


TIMINGS = {Timing(face, voice): 1 / 6 if face == voice else 1 / 12 for face in MOMENTS for voice in MOMENTS}


class Plot(NamedTuple):
    """One outcome of the tables: what is the case, and what of it can be seen, heard and read."""

    emotion: str
    prop: str
    face: str
    voice: str
    family: str
    tone: str
    mention: bool

    @property
    def intent(self) -> str:
        return INTENT_OF[self.family, self.emotion]


def _balance(table: dict[tuple[str, str], float], groups: Sequence[Callable[[tuple[str, str]], str]]) -> None:
    """Scale a joint table in place until every grouping of its cells is uniform (iterative proportional fitting)."""
    for _ in range(300):
        for group in groups:
            sums: dict[str, float] = defaultdict(float)
            for cell, weight in table.items():
                sums[group(cell)] += weight
            for cell in table:
                table[cell] /= sums[group(cell)] * len(sums)


def _given_emotion(table: dict[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    """P(first | emotion) from a joint table over (first, emotion) with uniform emotions."""
    rows: dict[str, dict[str, float]] = {emotion: {} for emotion in EMOTIONS}
    for (first, emotion), weight in table.items():
        rows[emotion][first] = weight * len(EMOTIONS)
    return rows


@cache
def cause_table() -> dict[str, dict[str, float]]:
    """P(prop | emotion); over all clips every prop and every emotion is equally frequent."""
    table = {
        (prop, emotion): weight**SUGGESTION_POWER
        for prop, (_, weights) in _CAUSES.items()
        for emotion, weight in zip(EMOTIONS, weights, strict=True)
    }
    _balance(table, [lambda cell: cell[0], lambda cell: cell[1]])
    return _given_emotion(table)


@cache
def family_table() -> dict[str, dict[str, float]]:
    """P(wording family | emotion); over all clips every intent and every emotion is equally frequent."""
    table = {
        (family, emotion): weight
        for family, (_, *sides) in FAMILIES.items()
        for _, weights in sides
        for emotion, weight in weights.items()
    }
    _balance(table, [lambda cell: INTENT_OF[cell], lambda cell: cell[1]])
    return _given_emotion(table)


def tone_shares(emotion: str) -> dict[str, float]:
    return dict(zip(TONES, _TONE_SHARES[POLARITY[emotion]], strict=True))


@cache
def displays(conflict: float | None) -> dict[str, dict[tuple[str, str], float]]:
    """P(face group and voice style | emotion), with this share of disagreeing ones where both kinds are possible."""
    if conflict is None:
        return DISPLAYS
    tables = {}
    for emotion, table in DISPLAYS.items():
        disagree = sum(share for pair, share in table.items() if pair in BLENDS)
        if not 0 < disagree < 1:
            tables[emotion] = table
            continue
        tables[emotion] = {
            pair: share * (conflict / disagree if pair in BLENDS else (1 - conflict) / (1 - disagree))
            for pair, share in table.items()
        }
    return tables


def sample_plot(rng: random.Random, dials: Dials = DEFAULT) -> tuple[Plot, tuple[str, str]]:
    """Draw one plot, and the display meant before the face was hidden or the voice drowned."""

    def pick(table: dict[_K, float]) -> _K:
        return rng.choices(list(table), weights=list(table.values()))[0]

    emotion = rng.choice(EMOTIONS)
    meant = pick(displays(dials.conflict)[emotion])
    face = "hidden" if rng.random() < dials.occlusion else meant[0]
    voice = "drowned" if rng.random() < DROWNED_SHARE else meant[1]
    plot = Plot(
        emotion=emotion,
        prop=pick(cause_table()[emotion]),
        face=face,
        voice=voice,
        family=pick(family_table()[emotion]),
        tone=pick(tone_shares(emotion)),
        mention=rng.random() < MENTION_SHARE,
    )
    return plot, meant


def all_plots(
    dials: Dials = DEFAULT, families: dict[str, float] | None = None
) -> Iterator[tuple[Plot, float]]:
    """Every possible plot with its probability; `families` in place of those that go with the emotion."""
    hidden_share = dials.occlusion
    for emotion in EMOTIONS:
        shown = [
            (f, v, p * pf * pv)
            for (face, voice), p in displays(dials.conflict)[emotion].items()
            for f, pf in ((face, 1 - hidden_share), ("hidden", hidden_share))
            for v, pv in ((voice, 1 - DROWNED_SHARE), ("drowned", DROWNED_SHARE))
        ]
        for (prop, p_prop), (family, p_family), (tone, p_tone), mention, (
            face,
            voice,
            p_shown,
        ) in itertools.product(
            cause_table()[emotion].items(),
            (families or family_table()[emotion]).items(),
            tone_shares(emotion).items(),
            (True, False),
            shown,
        ):
            p_mention = MENTION_SHARE if mention else 1 - MENTION_SHARE
            yield (
                Plot(emotion, prop, face, voice, family, tone, mention),
                p_prop * p_family * p_tone * p_mention * p_shown / len(EMOTIONS),
            )


SUBSETS: dict[str, tuple[str, ...]] = {
    "words": ("words",),
    "face": ("face",),
    "voice": ("voice",),
    "scene": ("scene",),
    "video": ("face", "scene"),
    "audio": ("voice",),
    "video+audio": ("face", "scene", "voice"),
    "all": ("face", "scene", "voice", "words"),
}


class Outcome(NamedTuple):
    """A plot, and whether face and voice meet in time where the intent hangs on that (None: it does not)."""

    plot: Plot
    together: bool | None

    @property
    def intent(self) -> str:
        if self.together is None:
            return self.plot.intent
        _, first, second = FAMILIES[self.plot.family]
        return first[0] if self.together else second[0]

    @property
    def labels(self) -> dict[str, str]:
        return {"emotion": self.plot.emotion, "intent": self.intent, "cause": self.plot.prop}


def can_be_timed(face: str, voice: str) -> bool:
    """Whether this face can flare up and this voice can cry out."""
    return face not in ("still", "hidden") and voice != "drowned"


def all_outcomes(dials: Dials = DEFAULT) -> Iterator[tuple[Outcome, float]]:
    """Every possible outcome with its probability."""
    for plot, p in all_plots(dials):
        timed = dials.timing if can_be_timed(plot.face, plot.voice) else 0.0
        if timed < 1:
            yield Outcome(plot, None), p * (1 - timed)
    if dials.timing:
        for plot, p in all_plots(dials, dict.fromkeys(FAMILIES, 1 / len(FAMILIES))):
            if can_be_timed(plot.face, plot.voice):
                for together in (True, False):
                    yield Outcome(plot, together), p * dials.timing / 2


def observed(plot: Plot, senses: Sequence[str], together: bool | None = None) -> tuple[object, ...]:
    """What the named senses (face, voice, scene, words) tell of a plot.

    Args:
        plot: The plot.
        senses: Which are open.
        together: Whether face and voice meet in time, where the intent hangs on that. It takes both to see it.

    Returns:
        What is perceived, one entry a sense, and the timing where there is one.
    """
    parts: dict[str, object] = {
        "face": plot.face,
        "voice": plot.voice,
        "scene": plot.prop,
        "words": (plot.family, plot.tone, plot.prop if plot.mention else None),
    }
    seen = tuple(parts[s] for s in senses)
    if together is None or "face" not in senses:  # every voice cries out, but only such a face flares up
        return seen
    return (*seen, "timed", together if "voice" in senses else None)


Mass = dict[
    str, dict[tuple[object, ...], dict[str, float]]
]  # label's name -> what is seen -> label -> probability


def masses(senses: Sequence[str], dials: Dials = DEFAULT) -> Mass:
    """The joint probability of what these senses tell and of each label."""
    mass: Mass = {name: defaultdict(lambda: defaultdict(float)) for name in ("emotion", "intent", "cause")}
    for outcome, p in all_outcomes(dials):
        seen = observed(outcome.plot, senses, outcome.together)
        for name, value in outcome.labels.items():
            mass[name][seen][value] += p
    return mass


@cache
def ceilings(dials: Dials = DEFAULT) -> dict[str, dict[str, float]]:
    """Best possible accuracy on emotion, intent and cause from each subset of what can be perceived.

    An observer who perceives every cue without error and knows the tables cannot do better (Bayes decision by full
    enumeration). Returns `{subset: {"emotion": a, "intent": a, "cause": a}}`, fractions of 1.
    """
    return {
        subset: {
            name: round(sum(max(row.values()) for row in rows.values()), 9)
            for name, rows in masses(senses, dials).items()
        }
        for subset, senses in SUBSETS.items()
    }


SENSES_OF = {"video": ("face", "scene"), "audio": ("voice",), "text": ("words",)}
SURE = 0.9  # how likely a label has to be to count as settled


def needed_modalities(dials: Dials = DEFAULT) -> dict[str, dict[str, float]]:
    """The share of clips whose label is settled by one modality, by two and no fewer, by three, and by none.

    Settled: the true label has a probability of at least SURE given all that the best such set of modalities tells.
    """
    subsets = [chosen for k in (1, 2, 3) for chosen in itertools.combinations(SENSES_OF, k)]
    senses = {chosen: tuple(s for m in chosen for s in SENSES_OF[m]) for chosen in subsets}
    known = {chosen: masses(senses[chosen], dials) for chosen in subsets}
    totals = {
        chosen: {name: {seen: sum(row.values()) for seen, row in rows.items()} for name, rows in mass.items()}
        for chosen, mass in known.items()
    }
    shares: dict[str, dict[str, float]] = {
        name: dict.fromkeys(("one", "two", "three", "not settled"), 0.0)
        for name in ("emotion", "intent", "cause")
    }
    for outcome, p in all_outcomes(dials):
        waiting = outcome.labels
        for chosen in subsets:
            seen = observed(outcome.plot, senses[chosen], outcome.together)
            for name in list(waiting):
                mass = known[chosen][name][seen][waiting[name]]
                if mass >= SURE * totals[chosen][name][seen]:
                    shares[name][("one", "two", "three")[len(chosen) - 1]] += p
                    del waiting[name]
        for name in waiting:
            shares[name]["not settled"] += p
    return {name: {k: round(v, 4) for k, v in row.items()} for name, row in shares.items()}
