"""Building a node: each file joins the parts of one of its halves."""
