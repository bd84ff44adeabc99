"""A study's progress in a notebook: one display, drawn again in place."""

import math
import time
from collections.abc import Callable

REDRAW_SECONDS = 0.5
"""Between two drawings, at least: an epoch may take milliseconds."""


class NotebookCard:
    """A display of the cell that is running; it appears when it is first drawn."""

    def __init__(self) -> None:
        self._drawn_at = -math.inf
        self._update: Callable[..., None] | None = None

    def draw(self, build: Callable[[], str], text: str, is_last: bool = False) -> None:
        """Draw the card in place of what it shows, unless it was drawn just before.

        Args:
            build: Builds its HTML.
            text: For front ends that show none.
            is_last: Whether nothing follows, so that it is drawn in any case.
        """
        now = time.monotonic()
        if now - self._drawn_at < REDRAW_SECONDS and not is_last:
            return
        self._drawn_at = now
        bundle = {"text/html": build(), "text/plain": text}
        if self._update is not None:
            self._update(bundle, raw=True)
            return
        from IPython.display import DisplayHandle

        handle = DisplayHandle()
        handle.display(bundle, raw=True)
        self._update = handle.update
