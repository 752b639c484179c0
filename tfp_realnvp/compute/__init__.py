"""How computations are spread over cores, and where random numbers come from."""
