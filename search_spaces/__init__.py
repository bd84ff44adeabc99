"""Search spaces: dotted config field to Optuna distribution, and nothing else.

A module of a model's name is the space of that system when systems are compared (`adapert launch peers`), and
its `PUBLISHED`, where it has one, the changes of the defaults that make the system's published form.
"""
