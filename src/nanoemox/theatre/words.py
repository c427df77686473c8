"""What people say in Affect Theatre, what a good listener answers, and how a script is told in words.

Lines are put together from an opener, a core sentence of the wording family, a clause that may name the cause, and a
remark that may colour the tone. Some cores of each family are kept for validation and some for testing only, so a
model is always judged on wordings it has not read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from nanoemox.theatre import wordings, world
from nanoemox.theatre.dials import DEFAULT, Dials

# `{a|b}` is a free choice. Of the ten cores of a family the first seven are for training, one for val, two for test.
_CORES: dict[str, tuple[str, ...]] = {
    "praise": (
        "you did a {great|wonderful|brilliant} job",
        "that was {great|brilliant|excellent} work of yours",
        "I must say this is {excellent|wonderful|impressive} work",
        "nobody does it as {brilliantly|well} as you do",
        "you are really {great|brilliant|impressive} at this",
        "what an {excellent|impressive} job you have done here",
        "well done, I admire how you did that",
        "I admire your {work|job}, it is {great|impressive}",
        "you have done {excellent|brilliant|wonderful} work here",
        "well done, what a {great|brilliant|wonderful} job",
    ),
    "grumble": (
        "this always goes {wrong|badly} with me",
        "of course it had to {break|happen} again today",
        "why does this {always|only} happen to me",
        "it is the {third|second} time this week that it goes wrong",
        "nothing {works|ever works} the way it should",
        "I have had enough trouble with this already",
        "it is always the same trouble {every day|every week}",
        "why does nothing ever work {today|this week}",
        "of course it is the same trouble again",
        "this happens to me {every day|every week}, it always goes wrong",
    ),
    "sorry": (
        "I am {so|very|really} sorry about this",
        "sorry, but I {can not|could not} do it {any other way|like that}",
        "I regret that it has come to this",
        "forgive me, but that is how I {see|feel} it",
        "I {apologise|beg your pardon}, but I can not go along",
        "excuse me, I {really|truly} can not do this",
        "pardon me, it is not what you wanted to hear",
        "I regret that I {can not|could not} do this",
        "forgive me, I am {truly|really} sorry",
        "pardon me, but I can not do it like that",
    ),
    "thanks": (
        "thank you {so|very} much for {this|that}",
        "thanks a lot, that is just what I needed",
        "many thanks for everything you did",
        "I {really|truly} have to thank you for {this|that}",
        "I owe you my thanks for all of this",
        "how kind of you, thank you indeed",
        "thanks for being so kind to me",
        "many thanks, how {kind|very kind} of you",
        "I have to thank you for everything",
        "thanks {so much|a lot}, you are {really|truly} kind",
    ),
    "wellbeing": (
        "how are you {doing|feeling} today",
        "are you {all right|well|doing fine}",
        "tell me how you have been",
        "it is good to see you, how {are you|do you feel}",
        "hello, how is everything with you",
        "I was wondering how you {are|feel}",
        "there you are, is everything {fine|all right}",
        "hello, are you {feeling|doing} well today",
        "I was wondering if you are all right",
        "tell me, how is everything, how do you feel",
    ),
    "news": (
        "{look|see} what I have got here",
        "I have {some news|something to tell you}",
        "you should know what just happened to me",
        "let me tell you what I {found|got} today",
        "have you heard, it was {mine|me} after all",
        "I just {heard|found out} about it this morning",
        "guess what they told me today",
        "guess what I {found|got} here this morning",
        "have you heard the news they told me",
        "let me tell you something that just happened",
    ),
    "going": (
        "I have to {go|leave} now",
        "it is time to {go|leave|be off}",
        "we should get {going|moving} soon",
        "I will {go|leave} at {six|nine|noon}",
        "let us {go|leave} before it gets late",
        "come, the {bus|train|car} is waiting",
        "I am {off|going} tomorrow morning",
        "it is late, we should be off",
        "let us be {off|going} at {six|noon}",
        "come, it is time, the {train|bus} leaves soon",
    ),
    "consent": (
        "yes, {of course|certainly|surely}",
        "you are right, it will be {fine|all right}",
        "{sure|certainly}, I am with you",
        "I {agree|think so too}, we can do it that way",
        "yes, you can count on me",
        "all right, that is how we do it",
        "exactly, it will work out",
        "certainly, you can count on me",
        "exactly, I am with you, it will be fine",
        "yes, all right, I think you are right",
    ),
    "caution": (
        "{wait|stop}, do not {touch|do} that",
        "you should {not|never} do it like this",
        "be careful with {that|this}",
        "I would not do that {now|yet}",
        "better {keep away|stay back} from it",
        "please {wait|slow down} before you go on",
        "watch out, do not go {there|near}",
        "be careful, I would not go {near|there}",
        "better wait, do not touch it {now|yet}",
        "watch out, you should stay back from that",
    ),
    "request": (
        "could you {come|look} over here please",
        "may I have a {minute|moment} of your time",
        "would you {please|kindly} give me a hand with my friend here",
        "this is my {friend|neighbour}, could you {look|listen}",
        "I would like you to {meet|see} somebody",
        "please come and {meet|see} us",
        "can I ask you to join us",
        "may I ask you to {look|listen} for a moment",
        "could you please give us a {hand|minute}",
        "would you come and join my {friend|neighbour} here",
    ),
}
_OPENERS = ("", "", "", "well,", "oh,", "listen,", "you know,", "so,", "hm,", "right,")
_TONE_REMARKS = {
    "glad": ("it is lovely", "what a lovely day", "this is lovely", "I like this day"),
    "sour": ("it is awful", "what an awful day", "this is awful", "I hate this day"),
}
_PROP_WORDS = {
    "birthday cake": ("birthday cake", "cake"),
    "wrapped gift": ("gift", "present"),
    "trophy": ("trophy", "prize"),
    "letter": ("letter", "envelope"),
    "broken vase": ("broken vase", "vase"),
    "spilled drink": ("spilled drink", "puddle of juice"),
    "packed suitcase": ("suitcase", "packed bags"),
    "late clock": ("clock", "delay"),
    "lightning": ("lightning", "storm"),
    "spider": ("spider", "big spider"),
    "wilted plant": ("wilted plant", "dead flower"),
    "spoiled food": ("spoiled food", "rotten fruit"),
}
_MENTIONS = (
    "because of the {}",
    "it is about the {}",
    "just look at the {}",
    "ever since the {}",
    "I mean the {}",
    "with the {} and all",
)
_PREPOSITION = {"street": "in the", "stage": "on the", "station": "at the", "office": "at the"}

_LISTENER_TURNS = (
    "Hello, I am listening.",
    "What is going on?",
    "You wanted to talk to me.",
    "Please tell me more.",
    "I have time for you.",
)
_SPEAKER_TURNS = (
    "I wanted to talk to you.",
    "There you are.",
    "Do you have a moment?",
    "I am glad you are here.",
)

GOALS = {
    "anger": "to calm and to show understanding",
    "disgust": "to acknowledge and to offer distance",
    "fear": "to reassure and to offer safety",
    "happiness": "to share the joy",
    "neutral": "to stay attentive",
    "sadness": "to comfort and to stay close",
    "surprise": "to share the wonder and to ask more",
}
_REPLY_OPENERS = {
    ("anger", "mild"): "I can see that this bothers you.",
    ("anger", "strong"): "You have every right to be angry.",
    ("disgust", "mild"): "That is unpleasant, I understand.",
    ("disgust", "strong"): "That must have been revolting.",
    ("fear", "mild"): "It is natural to feel uneasy now.",
    ("fear", "strong"): "Take a slow breath, you are safe with me.",
    ("happiness", "mild"): "It is good to see you content.",
    ("happiness", "strong"): "How wonderful, your joy is catching!",
    ("neutral", "mild"): "Thank you for telling me.",
    ("neutral", "strong"): "I hear you, go on.",
    ("sadness", "mild"): "I am sorry that you feel low.",
    ("sadness", "strong"): "I am so sorry, this must hurt deeply.",
    ("surprise", "mild"): "I did not expect that either.",
    ("surprise", "strong"): "That is astonishing indeed!",
}
_REPLY_MIDDLES = {
    "birthday cake": "A cake brings up many feelings.",
    "wrapped gift": "A gift can say more than it holds.",
    "trophy": "A trophy stands for a lot of effort.",
    "letter": "A letter can change a whole day.",
    "broken vase": "A vase can be replaced in time.",
    "spilled drink": "A spilled drink is wiped up together.",
    "packed suitcase": "A packed suitcase is never only luggage.",
    "late clock": "Lost time weighs on everyone.",
    "lightning": "The storm will move on.",
    "spider": "The spider can be carried outside.",
    "wilted plant": "A plant one cared for is missed.",
    "spoiled food": "Spoiled food belongs in the bin.",
}
_REPLY_CLOSINGS = {
    "wellbeing": "And how can I be there for you?",
    "praise": "What do you make of it yourself?",
    "grumble": "Shall we look at it together?",
    "sorry": "We will find a way from here.",
    "thanks": "Tell me what meant the most to you.",
    "news": "I would like to hear the whole story.",
    "going": "Let me know when you arrive.",
    "consent": "I am on your side.",
    "caution": "We will take it step by step.",
    "request": "I am coming to help you.",
}


def _choose(template: str, rng: random.Random) -> str:
    return re.sub(r"\{([^{}]*\|[^{}]*)\}", lambda m: rng.choice(m.group(1).split("|")), template)


def cores(family: str, split: str, dials: Dials = DEFAULT) -> Sequence[str]:
    """The core sentences of a wording family that this split may use."""
    if dials.language == "zh":
        table = wordings.CHINESE[family]
        return {"train": table[:5], "val": table[5:6], "test": table[6:]}[split]
    more = wordings.MORE_TEST_CORES[family] if dials.wordings == "more" else ()
    return {"train": _CORES[family][:7], "val": _CORES[family][7:8], "test": (*_CORES[family][8:], *more)}[
        split
    ]


def spoken_line(plot: world.Plot, split: str, rng: random.Random, dials: Dials = DEFAULT) -> str:
    """One line of speech for a plot: 3 to about 16 words.

    Args:
        plot: What the line is about, and how it is meant.
        split: Which core sentences may be used.
        rng: Chooses.
        dials: Which language and which wordings.

    Returns:
        The line.
    """
    chinese = dials.language == "zh"
    parts = [_choose(rng.choice(cores(plot.family, split, dials)), rng)]
    if plot.mention:
        mentions, names = (wordings.MENTIONS, wordings.PROP_WORDS) if chinese else (_MENTIONS, _PROP_WORDS)
        parts.append(rng.choice(mentions).format(rng.choice(names[plot.prop])))
    if plot.tone != "plain":
        parts.append(rng.choice((wordings.TONE_REMARKS if chinese else _TONE_REMARKS)[plot.tone]))
    if chinese:
        return f"{rng.choice(wordings.OPENERS)}{'，'.join(parts)}。"
    line = f"{rng.choice(_OPENERS)} {', '.join(parts)}".strip()
    return line[0].upper() + line[1:] + "."


_ONSETS = ("b", "p", "m", "d", "t", "n", "l", "g", "k", "h", "j", "sh", "z", "s", "r", "w")
_RHYMES = ("a", "o", "e", "i", "u", "ai", "ou", "ang", "en", "ing", "ong", "ie")


def syllables(text: str) -> str:
    """Letters that the voice can say for a text in Chinese: one syllable a character, always the same for it."""
    said = []
    for character in text:
        if "\u4e00" <= character <= "\u9fff":
            number = ord(character)
            said.append(_ONSETS[number % len(_ONSETS)] + _RHYMES[number // len(_ONSETS) % len(_RHYMES)])
        elif said:
            said[-1] += ","
    return " ".join(said)


def dialogue(rng: random.Random) -> list[dict[str, str]]:
    """Up to two earlier turns, oldest first; they carry no information."""
    if rng.random() < 0.5:
        return []
    turns = [{"role": "assistant", "text": rng.choice(_LISTENER_TURNS)}]
    if rng.random() < 0.5:
        turns.insert(0, {"role": "user", "text": rng.choice(_SPEAKER_TURNS)})
    return turns


def event(prop: str, place: str) -> str:
    return f"{world.EVENTS[prop]} {_PREPOSITION.get(place, 'in the')} {place}"


def reply(emotion: str, strength: str, prop: str, family: str) -> str:
    """An answer that names the feeling, turns to the cause and ends with an offer that fits what was said."""
    return f"{_REPLY_OPENERS[emotion, strength]} {_REPLY_MIDDLES[prop]} {_REPLY_CLOSINGS[family]}"
