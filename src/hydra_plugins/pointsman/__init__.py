"""Hydra plugins: launchers for processes and for Ray, and a sweeper on Optuna; the work is in pointsman.sweeps."""
