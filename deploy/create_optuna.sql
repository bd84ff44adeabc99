-- A database of its own: MLflow and Optuna both keep a table named alembic_version.
CREATE DATABASE optuna;
