"""Sparsey: single-trial sparse codes whose overlap follows the likeness of their inputs. One file per part."""
