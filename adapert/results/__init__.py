"""What studies left: read from the workspace's ledger and trial folders, or from MLflow where it has none."""
