"""The atlas: public optimizers read by ``dims``, each verdict judged in numbers: ``python -m benchmarks.atlas``."""
