"""From target weights to a trade list: quantities that an exchange accepts, and why the others are not traded."""
