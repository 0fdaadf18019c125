"""Uploads in parts, which become data sets."""
