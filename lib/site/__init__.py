"""The static book: staged, checked and built, with its ledger of claims, its page of sweeps and its playground."""
