"""Hosts that are left alone, one list per file: a domain a line, which stands for its subdomains too."""
