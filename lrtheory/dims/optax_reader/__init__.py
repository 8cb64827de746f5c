"""Units read from the code of an optax transformation."""
