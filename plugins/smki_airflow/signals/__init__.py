"""What begins a run by itself, what watches over it, and who hears of it."""
