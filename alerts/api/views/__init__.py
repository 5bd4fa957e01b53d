"""One module per kind of endpoint."""
