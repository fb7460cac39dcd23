"""PostgreSQL: the schema on one page, the engine, and a repository for each subject. Imports models."""
