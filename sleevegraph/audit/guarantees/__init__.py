"""What a bundle guarantees, one family to a module; each is recomputed from the bundle alone (docs/audit.md)."""
