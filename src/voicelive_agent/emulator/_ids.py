"""Identifiers in the shapes the service uses, reproducible from a seed."""

from __future__ import annotations

from random import Random

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Ids:
    """Makes the identifiers of one session.

    Ids that the service itself makes are 128 random bits in base 62: 22 characters, sometimes fewer. Ids that a
    realtime model makes are 21 characters of which the first four come from the session's start.
    """

    def __init__(self, seed: int | None) -> None:
        self._random = Random(seed)
        self._stamp = self.letters(4)

    def service(self, prefix: str) -> str:
        """An id made by the service, such as ``event_5uLdTQIc7mth4zynF6TiiW``."""
        number, digits = self._random.getrandbits(128), ""
        while number:
            number, digit = divmod(number, 62)
            digits = _ALPHABET[digit] + digits
        return f"{prefix}_{digits}"

    def model(self, prefix: str) -> str:
        """An id made by a realtime model, such as ``resp_E4BAsy7BWzPzysFg4Xvvk``."""
        return f"{prefix}_{self._stamp}{self.letters(17)}"

    def call(self, length: int) -> str:
        """The id of a function call, such as ``call_gjTmnRCz6ans0s2H``."""
        return f"call_{self.letters(length)}"

    def letters(self, count: int) -> str:
        """So many random letters and digits."""
        return "".join(self._random.choices(_ALPHABET, k=count))
