"""How long readers and relays rest after a batch, be it of one record.

As long as they worked, within bounds: what a batch costs hardly depends on how much it carries, and what comes alone
finds somebody who has rested already.
"""

from typing import Final

REST_S: Final = 0.01
LONGEST_REST_S: Final = 0.1


def rest_s(worked_s: float, *, least_s: float = REST_S) -> float:
    """Return the rest in seconds after so many seconds of work."""
    return max(least_s, min(worked_s, LONGEST_REST_S))
