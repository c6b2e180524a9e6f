"""When it is launched."""
