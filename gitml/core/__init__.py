"""The pure heart: values and functions without files, processes, clocks or environment variables."""
