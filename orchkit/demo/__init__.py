"""The main job: 500 orders over HTTP with faults, the engine killed in the middle, the books checked at the end."""
