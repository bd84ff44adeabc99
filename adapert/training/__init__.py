"""Training of networks: state, objective on a minibatch, the loop, checkpoints."""
