"""What other frameworks call rules, their hyperparameters and their state: data that needs none of them."""
