"""From an accelerator to the CPU, while the training goes on there."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import torch

from geophone.record.memory import berths, tensor_at
from geophone.record.processing import Measurement
from geophone.store.writer import Row

# Rows of steps that wait for their tensors to be fetched together; a measurement takes them along.
_MOST_ROWS = 64


class Copying(Protocol):
    """Copies under way: `tensors` are theirs, to be read once they are `done`."""

    tensors: Sequence[torch.Tensor]

    def done(self, *, wait: bool = False) -> bool: ...


class SideCopy:
    """Copies to page-locked memory on streams of their own: neither the training's stream nor the caller waits.

    On CUDA (and ROCm). What lies on any other device is copied at once.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._kept = tuple(tensors)  # nobody may take their memory before they are copied
        devices = sorted({t.device for t in tensors if t.is_cuda}, key=str)
        sides = {device: _side(device) for device in devices}
        for device, side in sides.items():
            side.wait_stream(torch.cuda.current_stream(device))
        places, size = berths(tensors)
        memory = torch.empty(size, dtype=torch.uint8, pin_memory=bool(devices))
        self.tensors = [tensor_at(memory, place) for place in places]
        for target, tensor in zip(self.tensors, tensors, strict=True):
            if tensor.is_cuda:
                with torch.cuda.stream(sides[tensor.device]):
                    target.copy_(tensor, non_blocking=True)
            else:
                target.copy_(tensor)
        self._events = [side.record_event() for side in sides.values()]

    def done(self, *, wait: bool = False) -> bool:
        if wait:
            for event in self._events:
                event.synchronize()
        elif not all(event.query() for event in self._events):
            return False
        self._kept = ()
        return True


@cache
def _side(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A row ("scalars") or a measurement ("measured", "recall") on its way."""

    kind: str
    content: Any

    def tensors(self) -> list[torch.Tensor]:
        """What of it has to come to the CPU: large tensors, then scalars."""
        if isinstance(self.content, Measurement):
            return [*self.content.tensors.values(), *_late(self.content.scalars).values()]
        return list(_late(self.content).values())

    def holding(self, tensors: Sequence[torch.Tensor]) -> "Parcel":
        """The same with `tensors` in the place of its own."""
        if not isinstance(self.content, Measurement):
            return Parcel(self.kind, self.content | _numbers(self.content, tensors))
        large = self.content.tensors
        it = self.content.holding(dict(zip(large, tensors, strict=False)))
        scalars = {**it.scalars, **_numbers(it.scalars, tensors[len(large) :])}
        return Parcel(self.kind, replace(it, scalars=scalars))


@dataclass(slots=True)
class _Shipment:
    """Parcels whose tensors, of `size` bytes in all, are copied together; those before `place` have been given out."""

    copy: Copying
    parcels: deque[Parcel]
    size: int
    place: int = 0

    def next(self) -> Parcel:
        parcel = self.parcels.popleft()
        start, self.place = self.place, self.place + len(parcel.tensors())
        return parcel.holding(self.copy.tensors[start : self.place])


class Transit:
    """First in, first out: measurements of which a part is on an accelerator, and the rows of the steps between them.

    `put` starts what has to be copied, `arrived` gives what is there by now, in the order in which it was put. `start`
    is what copies.
    """

    def __init__(self, start: Callable[[Sequence[torch.Tensor]], Copying] = SideCopy) -> None:
        self._start = start
        self._waiting: list[Parcel] = []
        self._under_way: deque[_Shipment] = deque()

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._under_way

    @property
    def held(self) -> int:
        """Bytes that are under way."""
        return sum(shipment.size for shipment in self._under_way)

    def put(self, kind: str, content: Row | Measurement) -> None:
        self._waiting.append(Parcel(kind, content))
        if kind != "scalars" or len(self._waiting) >= _MOST_ROWS:
            self._set_off()

    def arrived(self, *, wait: bool = False) -> Iterator[tuple[str, Any]]:
        """The parcels that are there; with `wait`, all of them."""
        if wait and self._waiting:
            self._set_off()
        while self._under_way and self._under_way[0].copy.done(wait=wait):
            shipment = self._under_way[0]
            # One by one: whoever takes them may be interrupted, and is given the others then.
            while shipment.parcels:
                parcel = shipment.next()
                yield parcel.kind, parcel.content
            self._under_way.popleft()

    def _set_off(self) -> None:
        parcels, self._waiting = deque(self._waiting), []
        tensors = [tensor for parcel in parcels for tensor in parcel.tensors()]
        size = sum(tensor.nbytes for tensor in tensors)
        self._under_way.append(_Shipment(self._start(tensors), parcels, size))


def is_here(it: Measurement) -> bool:
    """Whether all of `it` is on the CPU."""
    return all(t.device.type == "cpu" for t in it.tensors.values()) and not _late(it.scalars)


def plain_numbers(scalars: Mapping[str, Any]) -> dict[str, float]:
    """`scalars`, of which some may be tensors on an accelerator, as floats; those are waited for."""
    return {name: float(value) for name, value in scalars.items()}


def _late(scalars: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in scalars.items() if isinstance(value, torch.Tensor)}


def _numbers(scalars: Any, tensors: Sequence[torch.Tensor]) -> dict[str, float]:
    return {name: float(tensor) for name, tensor in zip(_late(scalars), tensors, strict=True)}
