"""SavedModels: what they answer, and how they are written for servers."""
