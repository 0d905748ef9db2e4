"""The settings of rattler and pixi that the user has: mirrors, proxies, and where credentials are."""

from __future__ import annotations

from rattler import Client, Config

_SETTINGS_OF = "pixi"  # its files are read beside those of rattler itself


def settings() -> Config:
    """The user's settings of rattler and pixi."""
    return Config.load_from_default_locations(_SETTINGS_OF)


def client() -> Client:
    """What fetches, by the user's settings and with the user's credentials."""
    return Client.from_config(settings(), user_agent="gitml")
