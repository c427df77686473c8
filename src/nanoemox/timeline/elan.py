"""A timeline as annotations for ELAN (.eaf, format 3.0): a tier of emotions, one of valences and one of what is said.

Where people are told apart, each of them has tiers of their own, and ELAN shows the name as the participant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from nanoemox import __version__
from nanoemox.timeline.segments import people_of

if TYPE_CHECKING:
    from nanoemox.timeline.report import TimelineReport

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "default-lt"
_VIDEO, _AUDIO = "video/*", "audio/*"

_NOT_XML = re.compile("[^\\t\\n\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Annotation = tuple[float, float, str]  # from, to, what stands there


def elan_text(report: TimelineReport, media: str) -> str:
    """The text of an .eaf file.

    Args:
        report: The timeline.
        media: The recording's URL, as seen from the folder of the .eaf file.

    Returns:
        XML. Annotations of one tier do not overlap, and each lasts at least a millisecond, as ELAN needs it.
    """
    Xml.register_namespace("xsi", _XSI)
    document = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"nanoemox {__version__}",
            "DATE": "1970-01-01T00:00:00Z",  # so that the same recording makes the same file
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = Xml.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    Xml.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        {"MEDIA_URL": media, "RELATIVE_MEDIA_URL": media, "MIME_TYPE": _VIDEO},
    )
    order = Xml.SubElement(document, "TIME_ORDER")
    count = 0
    for name, participant, marks in _tiers(report):
        facts = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": _TYPE}
        if participant:
            facts["PARTICIPANT"] = participant
        tier = Xml.SubElement(document, "TIER", facts)
        for start_ms, end_ms, value in _apart(marks):
            slots = []
            for at_ms in (start_ms, end_ms):
                slots.append(f"ts{len(order) + 1}")
                Xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slots[-1], "TIME_VALUE": str(at_ms)})
            count += 1
            annotation = Xml.SubElement(
                Xml.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{count}", "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]},
            )
            Xml.SubElement(annotation, "ANNOTATION_VALUE").text = _plain(value)
    Xml.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"},
    )
    Xml.indent(document, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(document, encoding="unicode")}\n'


def _tiers(report: TimelineReport) -> list[tuple[str, str | None, list[Annotation]]]:
    """Name, participant and annotations of each tier."""
    tiers: list[tuple[str, str | None, list[Annotation]]] = []
    for person in people_of(report.rows):
        ending = f" {person}" if person else ""
        mine = [segment for segment in report.segments if segment.person == person]
        emotions = [(each.start_s, each.end_s, each.emotion) for each in mine]
        valences = [(each.start_s, each.end_s, f"{each.valence:+.2f}") for each in mine]
        tiers += [(f"emotion{ending}", person, emotions), (f"valence{ending}", person, valences)]
    if report.settings.get("by") == "sentence":
        for speaker in dict.fromkeys(row.speaker for row in report.rows):
            said = [(r.start_s, r.end_s, r.text or "") for r in report.rows if r.speaker == speaker]
            tiers.append((f"text {speaker}" if speaker else "text", speaker, said))
    return tiers


def _apart(annotations: Sequence[Annotation]) -> list[tuple[int, int, str]]:
    """Annotations in milliseconds of which none overlaps the one before, and each has a length."""
    placed: list[tuple[int, int, str]] = []
    begin = 0
    for start_s, end_s, value in annotations:
        start_ms = max(begin, round(start_s * 1000))
        begin = max(start_ms + 1, round(end_s * 1000))
        placed.append((start_ms, begin, value))
    return placed


def _plain(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
