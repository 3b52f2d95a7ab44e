"""The static book: staged, checked and built, with its ledger of claims and its page of sweeps."""
