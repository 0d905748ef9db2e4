"""Values and points in time as words for people: all that commands print is put in these."""

from __future__ import annotations

from gitml.core.text.format import cells, clipped, columns, cost, count, duration, number, size
from gitml.history.time_format import ago, moment

__all__ = ["ago", "cells", "clipped", "columns", "cost", "count", "duration", "moment", "number", "size"]
