"""Networks, samplers and exports beside other implementations, in time and memory."""
