"""Search spaces: dotted config field to Optuna distribution, and nothing else.

A module of a model's name is the space of that system when systems are compared (`adapert launch peers`).
"""
