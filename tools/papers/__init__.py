"""Published tables: the papers' models trained, our numbers beside theirs."""
