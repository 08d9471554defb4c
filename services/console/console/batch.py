"""What a batch of events has changed so far, in memory."""

from dataclasses import dataclass, field
from uuid import UUID

from backbone.consumer import Incoming
from console.store_clocks import Clocks
from console.store_leads import Assigned, Facts, Lead


@dataclass(slots=True)
class Batch:
    """What the events of a batch change."""

    leads: dict[UUID, Lead]
    assigned: dict[UUID, dict[int, Assigned]]
    """Lead -> cycle -> assignment."""
    facts: Facts = field(default_factory=Facts)
    touched: dict[UUID, None] = field(default_factory=dict)
    """Leads of which something shown is new."""
    told: dict[UUID, None] = field(default_factory=dict)
    """Leads that are others than they were known."""
    reassigned: dict[tuple[UUID, int], None] = field(default_factory=dict)
    clocks: dict[tuple[UUID, int], Clocks] = field(default_factory=dict)
    """(lead, cycle) -> its clocks."""
    reclocked: dict[tuple[UUID, int], None] = field(default_factory=dict)
    """(lead, cycle) of which a clock is another."""
    ticked: dict[UUID, dict[str, None]] = field(default_factory=dict)
    """Survivor -> clocks that are others than they were."""
    notices: list[tuple[UUID, str, str]] = field(default_factory=list)
    """(survivor, what, clock's kind)"""
    changed_reps: dict[str, None] = field(default_factory=dict)

    def lead(self, event: Incoming) -> Lead:
        """Return the row of the lead that the event was said of, and remember that it and its survivor changed."""
        told_of = event.original_subject
        self.touched[told_of] = None
        if event.subject is not told_of:
            self.touched[event.subject] = None
        return self.leads[told_of]
