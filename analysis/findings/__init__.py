"""What studies answer, in a few sentences: each stands on what a figure, table or claim shows."""
