"""What a study is to find out: its trials, search space, designs, recipes, and how it is described."""
