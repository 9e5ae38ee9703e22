"""JSON texts that are read when somebody looks: a list of thousands of runs shows the settings of a few. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from dashboard.store import texts


class LaterMapping(Mapping[str, Any]):
    """A mapping made from a text at the first look. Equal to any mapping with the same items."""

    __slots__ = ("_make", "_text", "_value")

    def __init__(self, text: str, make: Callable[[Any], dict[str, Any]] = dict) -> None:
        self._text, self._make = text, make
        self._value: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._value is None:
            self._value = self._make(texts.unpack(self._text))
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


class LaterFloats(Sequence[float]):
    """Numbers made from a text at the first look. Equal to a tuple of the same numbers."""

    __slots__ = ("_make", "_text", "_value")

    def __init__(self, text: str, make: Callable[[Any], Sequence[float]]) -> None:
        self._text, self._make = text, make
        self._value: tuple[float, ...] | None = None

    def _read(self) -> tuple[float, ...]:
        if self._value is None:
            self._value = tuple(map(float, self._make(texts.unpack(self._text))))
        return self._value

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._read())

    def __eq__(self, other: object) -> bool:
        return self._read() == (other._read() if isinstance(other, LaterFloats) else other)

    def __hash__(self) -> int:
        return hash(self._read())

    def __repr__(self) -> str:
        return repr(self._read())
