"""A study's folder at work: launch, session, resume, status, progress."""
