"""Secrets that can be found again in whatever form they leak: raw, quoted, escaped, URL-encoded, in base64, in hexadecimal."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FRAME = "q'\"\\n{}%s%2F ß\t&={kernel};$(x)`é\\"
"""What log formats, shells, SQL, YAML, JSON, URLs and str.format trip over; the kernel survives all of their escapes."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret. `kernel`: letters and digits that stand nowhere else."""

    kernel: str
    framed: bool = True

    @property
    def text(self) -> str:
        return FRAME.replace("{kernel}", self.kernel) if self.framed else self.kernel

    def forms(self) -> Iterator[bytes]:
        """What to look for, in lower case."""
        raw = self.kernel.encode()
        yield raw.lower()
        yield raw.hex().encode()
        for before in range(3):  # base64 of a longer text, whatever comes before the kernel
            coded = base64.b64encode(bytes(before) + raw)
            yield coded[4 if before else 0 : -4].lower()


def leaks(traces: Mapping[str, bytes], canaries: Mapping[str, Canary]) -> list[str]:
    """`canary in trace` for each place where one of them is found, with what stands around it."""
    return [
        f"{name} in {place}: {around!r}"
        for place, content in traces.items()
        for name, canary in canaries.items()
        if (around := _around(content, canary))
    ]


def _around(content: bytes, canary: Canary) -> bytes:
    lowered = content.lower()
    found = [lowered.index(form) for form in canary.forms() if form in lowered]
    return content[max(0, found[0] - 200) : found[0] + 200] if found else b""
