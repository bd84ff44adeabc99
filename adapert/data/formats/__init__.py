"""Forms of files: matrices of .h5ad, HDF5's limits, tables, folders of arrays, sparse rows on disk."""
