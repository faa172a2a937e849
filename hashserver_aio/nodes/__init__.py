"""Nodes that hold buffers for a server: who they are, what they sign, who is chosen, and what they are asked.

Pure: nothing here knows a server or client of HTTP, or a catalogue. Neither side trusts the other; each is
known by its Ed25519 key.
"""
