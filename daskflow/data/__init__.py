"""Tables and what is made of them: schema, hashes, splits, blocks, statistics and matrices."""
