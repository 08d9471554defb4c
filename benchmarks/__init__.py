"""Measurements: one command each, printing tables with ratios. Never a timed test."""
