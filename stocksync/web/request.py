"""Request: what a caller asks."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, as it came over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
