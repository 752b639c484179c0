"""How computations are spread over cores and time, and where random numbers come from."""
