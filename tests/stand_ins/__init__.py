"""Stand-ins for batch systems that run on no machine of ours: their commands' words, over jobs that are processes here.

Each module is a program that takes the part of the command that its first argument names. What the commands print
follows the systems' documentation (of HTCondor and OAR also what the real ones printed); nothing else of them is there.
"""
