"""visuomotor inside other people's programs: one file for each."""
