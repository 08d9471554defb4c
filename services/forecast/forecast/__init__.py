"""forecast: what the leads will bring."""
