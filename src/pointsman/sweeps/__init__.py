"""Sweeps: many training runs side by side, on this machine or on a Ray cluster, stopped and continued at will."""
