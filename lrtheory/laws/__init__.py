"""Laws of scaling, batch size, invariance and stability."""
