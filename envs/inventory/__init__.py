"""Periodic-review inventory: how much to order, from whom, with lead times and uncertain demand."""
