"""The API described from the code that answers it: OpenAPI for HTTP, AsyncAPI for the socket."""
