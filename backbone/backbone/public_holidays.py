"""Public holidays of countries and their parts."""

import re
from datetime import date
from functools import lru_cache
from typing import Final

_COUNTRY: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", re.ASCII)


@lru_cache(maxsize=512)
def of(code: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country or a part of it (`US`, `US-CA`) from `year` - 1 to `year` + 2.

    ValueError for a code that is not known.
    """
    import holidays as library

    if _COUNTRY.fullmatch(code) is None:
        raise ValueError("no such country or part of it")
    country, _, part = code.partition("-")
    try:
        found = library.country_holidays(country, subdiv=part or None, years=range(year - 1, year + 3))
    except NotImplementedError as error:
        raise ValueError("no such country or part of it") from error
    return frozenset(found.keys())
