"""Adapters for the frameworks that people already use, one file each; none imports another."""
