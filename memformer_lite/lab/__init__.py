"""The course lab: exercises that say what is wrong in terms of the idea."""
