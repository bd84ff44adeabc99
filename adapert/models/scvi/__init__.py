"""scVI (Lopez et al. 2018), own compact version: an autoencoder of cells, perturbed by latent arithmetic."""
