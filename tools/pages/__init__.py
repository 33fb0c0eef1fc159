"""The pages: their generated parts, the notebooks and the site."""
