"""Uploads and downloads between the Store and a remote store.

A *root* is a Blob or Tree that is transferred as a whole. An upload is planned first (`upload_plan`), then performed by a pool of
threads; a download is verified as it arrives, and continues where an earlier one was interrupted.
"""
