"""The base model, its chat template and the weights that an adapter starts from."""
