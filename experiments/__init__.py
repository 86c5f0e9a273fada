"""One configuration in, one finished run out."""
