"""Training a Memformer: tasks, recipes, the learner, the training and its checkpoints."""
