"""The texts of the house: a folder per language and mail, and what turns them into a mail."""
