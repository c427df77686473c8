"""Networks trained from nothing: the settings decide, the seed repeats, several networks are averaged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nanoemox.baselines import fit

LINES = [(f"this is {word} {i}", "") for i in range(12) for word in ("awful", "gone")]
LABELS = ["anger", "sadness"] * 12


def test_the_same_seed_gives_the_same_labels() -> None:
    settings = replace(fit.SETTINGS["text"], steps=12, networks=2)
    asked = [("so awful", ""), ("it is gone", "")]
    first, second = (fit.fit_and_predict("text", LINES, LABELS, asked, settings, 3) for _ in range(2))
    assert first == second == ["anger", "sadness"]


def test_several_networks_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def trained(*arguments: object) -> object:
        seeds.append(arguments[-1])
        return original(*arguments)

    original = fit._trained
    monkeypatch.setattr(fit, "_trained", trained)
    settings = replace(fit.SETTINGS["text"], steps=2, networks=3)
    fit.fit_and_predict("text", LINES, LABELS, LINES[:2], settings, 5)
    assert seeds == [5, 6, 7]
