"""Publications replicated on a dataset, and cross-validation: what joins training and evaluation."""
