"""What the codes say about labelled concepts: pure tensor functions, and the tables and arrays that figures read."""
