"""From the lines of a data set to token ids and labels."""
