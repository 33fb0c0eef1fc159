"""How fast `fit` trains, beside loops written by hand and other libraries."""
