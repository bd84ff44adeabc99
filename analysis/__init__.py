"""From tracked runs to tidy frames to figures, without torch or Ray."""
