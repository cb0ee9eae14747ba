"""What ``say()`` and ``respond()`` return: something that is being said or thought, and how it goes.

``say()`` and ``respond()`` give a :class:`Speech`, ``respond(out_of_band=True)`` a :class:`Reply`; import them
from here to name them in annotations. Both are awaited: a speech for how it went, a reply for its text.
"""

from __future__ import annotations

from ._speech import Reply, Speech, SpeechStatus

__all__ = ["Reply", "Speech", "SpeechStatus"]
