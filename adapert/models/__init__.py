"""Models that predict deltas of perturbations; none knows of Ray, Optuna or MLflow."""
