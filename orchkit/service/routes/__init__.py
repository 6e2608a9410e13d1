"""The routes: a module a kind of resource, each with its ``routes``."""
