"""The tests; each docstring states the promise that the test holds us to."""
