"""HTTP in: data sets and models of the user that the caller's token names."""
