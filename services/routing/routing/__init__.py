"""routing: one rep who has room, and why this one."""
