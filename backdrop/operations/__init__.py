"""One rule for every operation of ATen: what its outputs see, and how it runs on parts of a map.

Receptive fields (:mod:`backdrop.receptive_field`) and survivors (:mod:`backdrop.survivors`) both go
by these rules. Operations are those below autograd, to which all layers and functions come down.
"""
