"""The description of the API, built from the code: OpenAPI for HTTP, AsyncAPI for the socket."""
