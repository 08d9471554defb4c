"""Delivery: how a fact gets from one service to the next exactly once in effect. Never about leads."""
