"""Charts of plots: with characters, as SVG and PNG, and on a page. What is in them is said by `core.text.plot_overlay`."""
