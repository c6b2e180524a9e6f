"""Engines: who solves. Each turns one posed problem into weights, and is believed only after verification."""
