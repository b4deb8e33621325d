"""HTTP below the routes: connections, bodies, answers, and asking other servers."""
