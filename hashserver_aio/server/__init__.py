"""The HTTP server: one module a face, and what all faces share."""
