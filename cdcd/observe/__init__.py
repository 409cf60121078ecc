"""What operators see: metrics and logs; and the failpoints of the tests."""
