"""One room for each thing that an administrator would look at by hand. `inquiry.CHECKS` lists them."""
