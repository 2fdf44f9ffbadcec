"""How much of a similarity score is which feature of the stimuli, and what remains."""
