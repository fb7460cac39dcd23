"""The mail templates, a folder per language and mail, and the code that renders them into messages."""
