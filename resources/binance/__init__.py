"""Binance: the public archive and the REST API."""
