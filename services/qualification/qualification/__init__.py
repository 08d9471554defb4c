"""qualification: is a lead worth a rep's time, and why."""
