"""One mapping of labels, for truth and prediction alike: word forms, codes of corpora, and other systems' spellings.

A family holds the spellings of one label: `angry`, `ANG`, `生气`, emotion2vec's `生气/angry` and SenseVoice's
`<|ANGRY|>` all stand for anger. Which name counts depends on the labels that are offered: a spelling stands for the
one candidate of its family, and for none where two are of its family. Only forms and translations of the same word
are in a family; "furious" is not anger. A label of no family stands for itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

EDGES = (
    " \t\r\n.,;:!?\"'`*[](){}<>|~$\\。，、；：！？“”‘’（）【】《》「」『』…"  # what may stand around a label
)

# name: words, which are read in running text too | codes, which count only as a whole label | Chinese
_FAMILIES = """
anger: angry angrily angered | ang 😡 😠 | 生气 愤怒 气愤 发怒 恼怒 生氣 憤怒 氣憤
disgust: disgusted disgusting | dis disg 🤢 | 厌恶 恶心 反感 嫌恶 厭惡 噁心
fear: fearful afraid scared frightened | fea 😨 😰 😱 | 恐惧 害怕 惊恐 恐懼
happiness: happy happily joy joyful | hap 😊 😀 😄 | 开心 高兴 快乐 喜悦 愉快 幸福 開心 高興 快樂
neutral: neutrality | neu 😐 | 中立 中性
sadness: sad sadly saddened | 😔 😢 😭 | 难过 悲伤 伤心 難過 悲傷 傷心
surprise: surprised suprise suprised | sur 😮 😲 | 吃惊 惊讶 惊奇 吃驚 驚訝
contempt: contemptuous | con | 轻蔑 蔑视 鄙视 輕蔑
calm: calmness | cal | 平静 冷静 平靜
worried: worry worries | wor | 担心 担忧 擔心
anxiety: anxious | anx | 焦虑 焦慮
excitement: excited | exc | 兴奋 激动 興奮
frustration: frustrated | fru | 沮丧 挫败
boredom: bored | bor | 无聊 無聊
confusion: confused | | 困惑
other: others | oth | 其他 其它
positive: positively | pos | 积极 正面 正向 積極
negative: negatively | neg | 消极 负面 负向 消極 負面
"""
# The same in German, French, Spanish, Italian, Portuguese, Japanese, Korean and Russian; only as a whole label.
_OTHER_LANGUAGES = """
anger: wut wütend ärger colère ira enojo enfado rabbia raiva 怒り 분노 гнев злость
disgust: ekel dégoût asco nojo 嫌悪 혐오 отвращение
fear: furcht peur miedo paura medo 恐れ 怖い 恐怖 두려움 공포 страх
happiness: freude glücklich joie alegría felicidad alegria felicidade felicità gioia 喜び 嬉しい 幸せ 행복 기쁨 радость
happiness: счастье
neutral: neutre neutro neutra neutrale 중립 нейтральный нейтрально
sadness: trauer traurig tristesse triste tristeza tristezza 悲しみ 悲しい 슬픔 грусть печаль
surprise: überraschung überrascht sorpresa surpresa 驚き 놀람 удивление
positive: positiv positif positivo positiva ポジティブ 긍정 положительный
negative: negativ négatif negativo negativa ネガティブ 부정 отрицательный
"""


def _read() -> tuple[dict[str, str], dict[str, str]]:
    """Spelling -> family: all of them, and those that are read in running text."""
    everywhere: dict[str, str] = {}
    in_text: dict[str, str] = {}
    for line in _FAMILIES.strip().splitlines():
        name, spellings = line.split(":")
        words, codes, chinese = (part.split() for part in spellings.split("|"))
        in_text |= dict.fromkeys([name, *words, *chinese], name)
        everywhere |= dict.fromkeys([name, *words, *codes, *chinese], name)
    for line in _OTHER_LANGUAGES.strip().splitlines():
        name, spellings = line.split(":")
        everywhere |= dict.fromkeys(spellings.split(), name)
    return everywhere, in_text


FAMILY_OF, FAMILY_IN_TEXT = _read()
WORDS_OF: dict[str, tuple[str, ...]] = {
    family: tuple(word for word, own in FAMILY_IN_TEXT.items() if own == family)
    for family in dict.fromkeys(FAMILY_OF.values())
}


@lru_cache(maxsize=100_000)
def bare(label: str) -> str:
    """The form in which labels are looked up: case, outer marks, underscores and blanks do not count."""
    label = label if label.isascii() else unicodedata.normalize("NFKC", label)  # full-width letters
    return " ".join(label.strip(EDGES).replace("_", " ").casefold().split())


def folded(label: str | None) -> str:
    """The form in which labels are scored: case, underscores and blanks do not count."""
    return " ".join((label or "").casefold().replace("_", " ").split())


def _american(label: str) -> str:
    """Apologise and apologize are one word."""
    return re.sub(r"is(e|ed|es|ing)\b", r"iz\1", label)


@lru_cache(maxsize=100_000)
def family(label: str) -> str | None:
    """The family of a label; of `生气/angry` and `anger (angry)`, that of both parts."""
    parts = [bare(part) for part in re.split(r"[/／|｜(（]", label.strip(EDGES)) if bare(part)]
    found = {FAMILY_OF.get(part) for part in parts}
    return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1000)
def _spelt(candidates: tuple[str, ...], american: bool) -> dict[str, str]:
    """Bare spelling -> candidate."""
    return {_american(bare(each)) if american else bare(each): each for each in candidates}


@lru_cache(maxsize=100_000)
def _candidate(label: str, candidates: tuple[str, ...]) -> str | None:
    plain = bare(label)
    for american, form in ((False, plain), (True, _american(plain))):
        known = _spelt(candidates, american)
        if plain and form in known:
            return known[form]
    mine = family(label)
    same = [candidate for candidate in candidates if mine is not None and family(candidate) == mine]
    return same[0] if len(same) == 1 else None


def candidate_of(label: str, candidates: Sequence[str]) -> str | None:
    """The one candidate that a label stands for; None where it stands for none, or for several."""
    return _candidate(label, tuple(candidates))


@lru_cache(maxsize=100_000)
def _class(label: str, candidates: tuple[str, ...]) -> str:
    found = _candidate(label, candidates)
    mine = family(label)
    if found is None and mine is not None and not any(family(candidate) == mine for candidate in candidates):
        found = mine
    return folded(label if found is None else found)


def class_of(label: str | None, candidates: Sequence[str]) -> str:
    """The class that a label is scored as: its candidate, else its family, else the label itself.

    Args:
        label: A label of the truth or of an answer; None and blanks are no class.
        candidates: The labels that are offered.

    Returns:
        The class in the form in which labels are compared; empty where there is none.
    """
    return _class(label, tuple(candidates)) if label and bare(label) else folded(label)
