"""Three-dimensional lattice Boltzmann flow: docs/flow.md says how to use it."""
