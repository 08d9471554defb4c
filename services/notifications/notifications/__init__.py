"""notifications: reps are told, and nothing is told twice."""
