"""The recipe: its keys, its loading and its checks, without torch."""
