"""The clusters that jobs may go to: what they have, whether they answer, and which are drained."""
