"""Which labels are wrong: the mechanism of the paper as a tool."""
