"""The three experiments that go on from the paper."""
