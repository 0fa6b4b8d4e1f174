"""What a run is to be, and what it will take, before anything is trained."""
