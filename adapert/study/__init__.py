"""Studies: the trials that answer one question, run on Ray Tune."""
