"""Tables, figures and reports, drawn from run folders alone: no jax, no flax."""
