"""The analysis written once more, as plain loops over Python objects: what the tests compare with.

Nothing here is shared with the package under test: cuts, sizes of the variations and bins are
constants of this one, from the specification of the Analysis Grand Challenge task, version 2.
"""
