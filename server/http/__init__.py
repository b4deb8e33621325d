"""HTTP below the routes: connections, bodies, responses, and requests to other servers."""
