"""A client of the gateway for Python programs, and for the agent: start with `producers.client.gateway`."""
