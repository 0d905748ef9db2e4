"""Steps on a Ray cluster, whose machines share no disk. Only this package imports ray, and only where it is used."""
