"""The design that people write first, kept as a yardstick: FastAPI and pydantic, an ORM session per request and per
message, an event published after the commit, one message at a time. Nothing in it is slowed down on purpose."""
