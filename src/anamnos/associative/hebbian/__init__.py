"""Hebbian attractor networks: dense (P-spin) and multitasking, one Monte-Carlo core, and their statistical mechanics.

dynamics.py   spins under Glauber dynamics, the tensor of N^P couplings never built; kernels.py is its inner loop
memory.py     what both memories share; dense.py and multitask.py are the memories
replica.py    replica-symmetric predictions; examples.py with noisy examples; glass.py beyond replica symmetry
"""
