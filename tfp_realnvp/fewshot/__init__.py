"""From a few images of something that a flow never saw to more of it."""
