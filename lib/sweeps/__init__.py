"""Many runs of a notebook: grids, their points, and where these run."""
