"""PerturbedVAE (Jiang et al. 2026), own construction after the abstract: sparse shifts of a few latents."""
