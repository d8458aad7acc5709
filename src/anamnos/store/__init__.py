"""Durable truth: the contract, the engines, and the one function through which cubes change."""
