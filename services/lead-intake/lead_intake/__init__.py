"""lead-intake: the one door for what happens outside."""
