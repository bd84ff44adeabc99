"""From files to a prepared data set: readers, differential expression, splits, memory maps."""
