"""The ramp: after an outage the load comes back step by step, not with all slots at once."""

from collections.abc import Callable


class Ramp:
    """Lets so many slots work at once: all of them, one in an outage, then twice as many each time.

    A step takes as many proofs in a row as slots work: 1, 2, 4, 8 … pushes.

    It also brakes: with `failures` pushes in a row that proved nothing and of which the circuits
    have not been told yet, no new one begins. A service that fails fast would get dozens meanwhile.
    """

    def __init__(self, *, most: int, failures: int, on_step: Callable[[], None]) -> None:
        self._most = most
        self._failures = failures
        self._on_step = on_step
        self._admitted = most
        self._proofs = 0
        self._untold = 0

    def admits(self, slot: int) -> bool:
        """Whether this slot, counted from 0, may work."""
        return slot < self._admitted and self._untold < self._failures

    def told(self, failures: int) -> None:
        """The circuits have been told of so many failures."""
        if failures:
            self._untold = max(0, self._untold - failures)
            self._on_step()

    def hold(self) -> None:
        """The service's circuit is open: begin again with a single slot."""
        self._admitted = 1
        self._proofs = 0

    def count(self, *, is_proven: bool) -> None:
        """A push has ended."""
        self._untold = 0 if is_proven else self._untold + 1
        if self._admitted == self._most:
            return
        self._proofs = self._proofs + 1 if is_proven else 0
        if self._proofs >= self._admitted:
            self._admitted = min(2 * self._admitted, self._most)
            self._proofs = 0
            self._on_step()
