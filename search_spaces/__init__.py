"""Search spaces: dotted config field to Optuna distribution, and nothing else."""
