"""Which jets come from which partons of a top-quark pair with one lepton."""
