"""Training by gradient flow, for the linear model: its integrator, tangent kernel and records. No figure, no claim."""
