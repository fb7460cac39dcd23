"""The flow engine and one short service a flow. Imports every wing but admin and operations."""
