"""The Python fixture: one replica of an MCP server for the legacy era."""
