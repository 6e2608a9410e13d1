"""Widgets: model, watch, decide and explore with the mouse and the keyboard; each has a static twin."""
