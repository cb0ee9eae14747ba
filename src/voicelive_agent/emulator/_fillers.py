"""Filler words: the sounds people make while they think, by language."""

from __future__ import annotations

import re

_FILLERS = {
    "en": r"u+h+m*|u+m+|e+r+m*|h+m+|m{2,}|a+h+|eh",
    "de": r"ä+h*m*|ö+h*m*|h+m+|m{2,}|e+h+m*",
    "fr": r"e+u+h*|h+e+u+|h+u*m+|m{2,}",
    "es": r"e+h+m*|e+m+|h+m+|m{2,}|a+h+",
    "it": r"e+h+m*|h+m+|m{2,}|a+h+",
}
_ANY_LANGUAGE = r"h+m+|m{2,}"
_MARKS = "\"'“”‘’«»()[],.;:!?…-–—¿¡"
_FINAL = ".?!"


def language_of(tag: str | None) -> str:
    """The language of a tag such as ``"en-US"`` or of the first of several; English where there is none."""
    return (tag or "en").partition(",")[0].strip().partition("-")[0].lower()


def is_filler(word: str, language: str | None = None) -> bool:
    """Whether ``word``, with or without punctuation, is a filler of the language: "um", "Uhh...", "hmm"."""
    bare = word.strip(_MARKS).lower()
    return re.fullmatch(_FILLERS.get(language_of(language), _ANY_LANGUAGE), bare) is not None


def only_fillers(text: str, language: str | None = None) -> bool:
    """Whether there is nothing but filler words in ``text``; so it is where there are no words at all."""
    words = [word for word in text.split() if word.strip(_MARKS)]
    return all(is_filler(word, language) for word in words)


def without_fillers(text: str, language: str | None = None) -> str:
    """``text`` without its filler words and the commas that set them off: "I, um, see" becomes "I see"."""
    kept: list[str] = []
    removed_first = False
    for word in text.split():
        if not is_filler(word, language):
            kept.append(word)
            continue
        removed_first = removed_first or not kept
        if kept and word[-1] in _FINAL and not word.endswith("..."):
            kept[-1] = kept[-1].rstrip(",") + ("" if kept[-1][-1] in _FINAL else word[-1])
        elif kept and word.endswith(","):
            kept[-1] = kept[-1].removesuffix(",")
    joined = " ".join(kept)
    return joined[:1].upper() + joined[1:] if removed_first and text[:1].isupper() else joined
