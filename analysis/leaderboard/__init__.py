"""The leaderboard: systems that were searched with equal budgets, what they read, cost and reach."""
