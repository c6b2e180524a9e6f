"""One module per guarantee; each gives a verdict per partition and leaves a receipt."""
