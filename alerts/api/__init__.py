"""The HTTP door: translate the request, call one action, translate the answer back."""
