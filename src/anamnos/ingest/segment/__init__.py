"""Segmenters: what is read together."""
