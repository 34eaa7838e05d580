"""Scikit-learn estimators of our own, where scikit-learn's depend on the unit of the target."""
