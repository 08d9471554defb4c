"""The stack without Docker: PostgreSQL, Kafka and every service as processes under one supervisor."""
