"""Uploads and downloads between the Store and a remote store."""
