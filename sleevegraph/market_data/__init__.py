"""Public market data: how an exchange names, packs, lists and limits it, as functions of bytes and frames."""
