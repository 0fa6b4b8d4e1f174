"""The phases that the pipeline names: trainings, searches, the test; and what they cost."""
