"""The words of the house: what is sent, what is answered, what is refused."""
