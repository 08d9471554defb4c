"""console: what people see, and who may call whom."""
