"""The service: an engine's verbs over HTTP, for those who cannot open its store."""
