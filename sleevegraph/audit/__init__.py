"""The audit: what happened at a rebalance, as a hash-chained ledger and files that prove it (docs/audit.md)."""
