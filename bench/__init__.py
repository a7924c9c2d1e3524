"""The benchmark: what the relay costs, beside relays by others. ``python -m bench --help`` teaches.

``scenarios``  the kinds of work, as one table
``bars``       what must be reached, as one table
``peers``      the relays: ours, and those to compare with
``generator``  the program in ``load/`` that plays VNC servers and browsers
``rounds``     alternating rounds: each relay's turn, measured
``measure``    CPU time and memory of a process tree
``figures``    medians and ratios out of the rounds
``report``     the table, the result file, the README's figures; ``plots`` draws them
``compare``    two results beside each other, by their ratios alone

It imports the program; the program never imports it.
"""
