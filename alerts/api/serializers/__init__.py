"""What each object looks like, in and out; the OpenAPI document is drawn from these."""
