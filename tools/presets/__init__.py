"""A preset's life: recipe, training, measures, card, export."""
