"""The pages. They read the store and hand runs to the launcher; none of them loads a model."""
