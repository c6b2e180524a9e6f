"""Where bars come from and where results are kept: everything with an outside."""
