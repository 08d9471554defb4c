"""Amounts as callers send them and as reports show them."""

from decimal import Decimal
from typing import Annotated

import pycountry
from pydantic import AfterValidator, Field

Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]


def _known(code: str) -> str:
    if pycountry.currencies.get(alpha_3=code) is None:
        raise ValueError("not a currency, no such code in ISO 4217")
    return code


Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_known)]


def shown(amount: Decimal | None) -> str:
    """Return a sum as reports show it."""
    return f"{amount or Decimal(0):.2f}"


def kept(amount: Decimal) -> str:
    """Return an amount as it was given, never with an exponent."""
    return f"{amount:f}"
