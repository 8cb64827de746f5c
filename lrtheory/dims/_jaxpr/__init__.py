"""The walk over a traced JAX program: what every primitive does to units."""
