"""Tests of the benchmark suite: that the meter counts truly, and that a record is judged as it reads."""
