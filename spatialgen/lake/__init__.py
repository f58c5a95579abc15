"""The data lake: an append-only store, published Lance tables, and their manifests in git."""
