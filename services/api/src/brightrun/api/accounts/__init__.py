"""Accounts: registration, sign-in, sessions, API keys, the identity provider, administration of users."""
