"""MLflow: one writer in the driver, and the readers that pick and figures use."""
