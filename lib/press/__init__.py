"""What a chapter is made of and shows."""
