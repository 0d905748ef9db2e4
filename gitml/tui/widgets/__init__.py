"""The widgets that several screens use: bars of text, tables, the graph of steps, charts, pictures, dialogs, notices."""
