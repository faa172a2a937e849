"""The public benchmark: this server, its peers and bare loops, measured in turn over HTTP.

Only the standard library is used, so that it runs before anything is installed.
"""
