"""The faces over a network: REST, MCP and the web page. Each request becomes a verb of ``Memory``, as its caller."""
