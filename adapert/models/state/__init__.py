"""STATE (Adduri et al. 2025), own compact version: sets of cells, and a transformer between them."""
